-- Totals of calls that have ended stay as nobody's: calls that are pruned can't tell any more whose they were.

ALTER TABLE usage_hours
    ADD COLUMN principal text NOT NULL DEFAULT '',
    DROP CONSTRAINT usage_hours_pkey,
    ADD PRIMARY KEY (flow_id, hour, principal)
--
-- What calls have reserved that may end yet moves to whose they are, where their end is counted.
INSERT INTO usage_hours (
    flow_id, hour, principal, flow_name, flow_title, calls, tokens, cost,
    metered_calls, metered_tokens, estimated_calls, estimated_tokens, priced_calls, priced_cost,
    estimated_costs, estimated_cost
)
SELECT
    flow_id, date_trunc('hour', begun_at, 'UTC'), principal, max(flow_name), max(flow_title),
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
CREATE OR REPLACE FUNCTION ledger_count_call() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    spared boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO usage_hours AS totals (
            flow_id, hour, principal, flow_name, flow_title,
            calls, tokens, cost, metered_calls, metered_tokens, priced_calls, priced_cost
        ) VALUES (
            NEW.flow_id, date_trunc('hour', NEW.begun_at, 'UTC'), COALESCE(NEW.principal, ''),
            NEW.flow_name, NEW.flow_title,
            1, NEW.reserved_tokens, NEW.reserved_cost, 0, 0, 0, 0
        ) ON CONFLICT (flow_id, hour, principal) DO UPDATE SET
            flow_name = COALESCE(excluded.flow_name, totals.flow_name),
            flow_title = COALESCE(excluded.flow_title, totals.flow_title),
            calls = totals.calls + 1,
            tokens = totals.tokens + excluded.tokens,
            cost = totals.cost + excluded.cost;
    ELSE
        -- What is reserved counts until the end, and after it where nobody knows more; a call that failed without
        -- telling counts for nothing.
        spared := NEW.state IN ('failed', 'cancelled');
        UPDATE usage_hours SET
            tokens = tokens
                + COALESCE(NEW.total_tokens, NEW.estimated_tokens, CASE WHEN spared THEN 0 ELSE NEW.reserved_tokens END)
                - COALESCE(OLD.total_tokens, OLD.estimated_tokens, OLD.reserved_tokens),
            cost = cost
                + COALESCE(NEW.cost, NEW.estimated_cost, CASE WHEN spared THEN 0 ELSE NEW.reserved_cost END)
                - COALESCE(OLD.cost, OLD.estimated_cost, OLD.reserved_cost),
            metered_calls = metered_calls + (NEW.total_tokens IS NOT NULL)::int - (OLD.total_tokens IS NOT NULL)::int,
            metered_tokens = metered_tokens + COALESCE(NEW.total_tokens, 0) - COALESCE(OLD.total_tokens, 0),
            estimated_calls = estimated_calls + (NEW.estimated_tokens IS NOT NULL)::int,
            estimated_tokens = estimated_tokens + COALESCE(NEW.estimated_tokens, 0),
            priced_calls = priced_calls + (NEW.cost IS NOT NULL)::int - (OLD.cost IS NOT NULL)::int,
            priced_cost = priced_cost + COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0),
            estimated_costs = estimated_costs + (NEW.estimated_cost IS NOT NULL)::int,
            estimated_cost = estimated_cost + COALESCE(NEW.estimated_cost, 0)
        WHERE flow_id = NEW.flow_id AND hour = date_trunc('hour', NEW.begun_at, 'UTC')
            AND principal = COALESCE(NEW.principal, '');
    END IF;
    RETURN NULL;
END $$
