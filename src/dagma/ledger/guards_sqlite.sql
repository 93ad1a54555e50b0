-- What guards the ledger's tables on SQLite. Statements are separated by lines of two dashes.
-- SQLite has no roles: whoever can open the file can drop these triggers. Times are the caller's, on the machine that
-- the file is on. Costs are whole billionths of a USD.

CREATE TRIGGER calls_start_begun BEFORE INSERT ON calls
WHEN NEW.state NOT IN ('begun', 'refused')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call starts in the state begun');
END
--
CREATE TRIGGER calls_finished_stay BEFORE UPDATE ON calls
WHEN OLD.state IN ('answered', 'failed', 'cancelled')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a finished call can not be changed');
END
--
CREATE TRIGGER calls_refused_are_counted BEFORE UPDATE ON calls
WHEN OLD.state = 'refused' AND (NEW.state <> 'refused' OR NEW.refusals IS NOT OLD.refusals + 1)
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a refused call is counted, and nothing else of it can be changed');
END
--
CREATE TRIGGER calls_go_on BEFORE UPDATE OF state ON calls
WHEN NEW.state <> OLD.state
    AND (NEW.state IN ('begun', 'refused') OR (OLD.state = 'unknown' AND NEW.state = 'submitted'))
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call does not become what it was before');
END
--
CREATE TRIGGER calls_identity_stays BEFORE UPDATE OF
    id, "key", attempt, scope, flow_id, flow_name, flow_title, flow_version, backend, mode, run_id, step, partition_key,
    row_key, principal, begun_at, reserved_tokens, reserved_cost, input_characters, input_hash, input_text
ON calls
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: what identifies a call can not be changed');
END
--
CREATE TRIGGER calls_young_stay BEFORE DELETE ON calls
WHEN OLD.begun_at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 days')
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a call younger than 30 days can not be deleted');
END
--
CREATE TRIGGER rejections_of_answers BEFORE INSERT ON rejections
WHEN NOT EXISTS (SELECT 1 FROM calls WHERE id = NEW.call_id AND state IN ('answered', 'unknown'))
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: only a call that is answered or unknown can be rejected');
END
--
CREATE TRIGGER rejections_take_the_answer AFTER INSERT ON rejections
BEGIN
    DELETE FROM replays WHERE call_id = NEW.call_id;
END
--
CREATE TRIGGER rejections_stay BEFORE UPDATE ON rejections
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a rejection can not be changed');
END
--
CREATE TRIGGER rejections_go_with_their_call BEFORE DELETE ON rejections
WHEN EXISTS (SELECT 1 FROM calls WHERE id = OLD.call_id)
BEGIN
    SELECT RAISE(ABORT, 'dagma ledger: a rejection is deleted with its call only');
END
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
