-- The same on SQLite, where a table's key can't be changed: the table is written anew.

DROP TRIGGER calls_counted_on_begin
--
DROP TRIGGER calls_counted_on_change
--
CREATE TABLE usage_hours_before AS SELECT * FROM usage_hours
--
DROP TABLE usage_hours
--
CREATE TABLE usage_hours (
    flow_id TEXT NOT NULL,
    hour DATETIME NOT NULL,
    principal TEXT NOT NULL DEFAULT '',
    flow_name TEXT,
    flow_title TEXT,
    calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    metered_calls BIGINT NOT NULL,
    metered_tokens BIGINT NOT NULL,
    estimated_calls BIGINT NOT NULL DEFAULT 0,
    estimated_tokens BIGINT NOT NULL DEFAULT 0,
    priced_calls BIGINT NOT NULL,
    priced_cost BIGINT NOT NULL,
    estimated_costs BIGINT NOT NULL DEFAULT 0,
    estimated_cost BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (flow_id, hour, principal)
)
--
INSERT INTO usage_hours (
    flow_id, hour, flow_name, flow_title,
    calls, tokens, cost, metered_calls, metered_tokens, estimated_calls, estimated_tokens, priced_calls, priced_cost,
    estimated_costs, estimated_cost
)
SELECT
    flow_id, hour, flow_name, flow_title,
    calls, tokens, cost, metered_calls, metered_tokens, estimated_calls, estimated_tokens, priced_calls, priced_cost,
    estimated_costs, estimated_cost
FROM usage_hours_before
--
DROP TABLE usage_hours_before
--
CREATE INDEX ix_usage_hours_hour ON usage_hours (hour)
--
-- What calls have reserved that may end yet moves to whose they are, where their end is counted.
INSERT INTO usage_hours (
    flow_id, hour, principal, flow_name, flow_title, calls, tokens, cost,
    metered_calls, metered_tokens, estimated_calls, estimated_tokens, priced_calls, priced_cost,
    estimated_costs, estimated_cost
)
SELECT
    flow_id, strftime('%Y-%m-%d %H:00:00.000000', begun_at), principal, max(flow_name), max(flow_title),
    count(*), sum(reserved_tokens), sum(reserved_cost), 0, 0, 0, 0, 0, 0, 0, 0
FROM calls
WHERE state IN ('begun', 'submitted', 'unknown') AND principal <> ''
GROUP BY 1, 2, 3
--
UPDATE usage_hours AS totals
SET calls = totals.calls - moved.calls, tokens = totals.tokens - moved.tokens, cost = totals.cost - moved.cost
FROM (
    SELECT flow_id, hour, sum(calls) AS calls, sum(tokens) AS tokens, sum(cost) AS cost
    FROM usage_hours
    WHERE principal <> ''
    GROUP BY flow_id, hour
) AS moved
WHERE totals.flow_id = moved.flow_id AND totals.hour = moved.hour AND totals.principal = ''
--
CREATE TRIGGER calls_counted_on_begin AFTER INSERT ON calls
WHEN NEW.state = 'begun'
BEGIN
    INSERT INTO usage_hours (
        flow_id, hour, principal, flow_name, flow_title,
        calls, tokens, cost, metered_calls, metered_tokens, priced_calls, priced_cost
    ) VALUES (
        NEW.flow_id, strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at), COALESCE(NEW.principal, ''),
        NEW.flow_name, NEW.flow_title,
        1, NEW.reserved_tokens, NEW.reserved_cost, 0, 0, 0, 0
    ) ON CONFLICT (flow_id, hour, principal) DO UPDATE SET
        flow_name = COALESCE(excluded.flow_name, flow_name),
        flow_title = COALESCE(excluded.flow_title, flow_title),
        calls = calls + 1,
        tokens = tokens + excluded.tokens,
        cost = cost + excluded.cost;
END
--
CREATE TRIGGER calls_counted_on_change AFTER UPDATE ON calls
WHEN OLD.state <> 'refused'
BEGIN
    UPDATE usage_hours SET
        tokens = tokens
            + COALESCE(
                NEW.total_tokens, NEW.estimated_tokens, (NEW.state NOT IN ('failed', 'cancelled')) * NEW.reserved_tokens
            )
            - COALESCE(OLD.total_tokens, OLD.estimated_tokens, OLD.reserved_tokens),
        cost = cost
            + COALESCE(NEW.cost, NEW.estimated_cost, (NEW.state NOT IN ('failed', 'cancelled')) * NEW.reserved_cost)
            - COALESCE(OLD.cost, OLD.estimated_cost, OLD.reserved_cost),
        metered_calls = metered_calls + (NEW.total_tokens IS NOT NULL) - (OLD.total_tokens IS NOT NULL),
        metered_tokens = metered_tokens + COALESCE(NEW.total_tokens, 0) - COALESCE(OLD.total_tokens, 0),
        estimated_calls = estimated_calls + (NEW.estimated_tokens IS NOT NULL),
        estimated_tokens = estimated_tokens + COALESCE(NEW.estimated_tokens, 0),
        priced_calls = priced_calls + (NEW.cost IS NOT NULL) - (OLD.cost IS NOT NULL),
        priced_cost = priced_cost + COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0),
        estimated_costs = estimated_costs + (NEW.estimated_cost IS NOT NULL),
        estimated_cost = estimated_cost + COALESCE(NEW.estimated_cost, 0)
    WHERE flow_id = NEW.flow_id AND hour = strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at)
        AND principal = COALESCE(NEW.principal, '');
END
