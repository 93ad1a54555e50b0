-- Guards of the ledger on SQLite. Statements are separated by lines of two dashes.
-- SQLite has no roles: whoever can open the file can drop these triggers.

CREATE TRIGGER calls_start_begun BEFORE INSERT ON calls
WHEN NEW.state <> 'begun'
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
CREATE TRIGGER calls_identity_stays BEFORE UPDATE OF
    id, key, attempt, scope, flow_id, flow_name, flow_version, backend, mode, run_id, step, partition_key, row_key,
    begun_at, reserved_tokens, reserved_cost, input_hash, input_text
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
BEGIN
    INSERT INTO usage_hours (
        flow_id, hour, flow_name, calls, tokens, cost, metered_calls, metered_tokens, priced_calls, priced_cost
    ) VALUES (
        NEW.flow_id, strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at), NEW.flow_name,
        1, NEW.counted_tokens, NEW.counted_cost, 0, 0, 0, 0
    ) ON CONFLICT (flow_id, hour) DO UPDATE SET
        flow_name = COALESCE(excluded.flow_name, flow_name),
        calls = calls + 1,
        tokens = tokens + excluded.tokens,
        cost = cost + excluded.cost;
END
--
CREATE TRIGGER calls_counted_on_change AFTER UPDATE ON calls
BEGIN
    UPDATE usage_hours SET
        tokens = tokens + NEW.counted_tokens - OLD.counted_tokens,
        cost = cost + NEW.counted_cost - OLD.counted_cost,
        metered_calls = metered_calls + (NEW.total_tokens IS NOT NULL) - (OLD.total_tokens IS NOT NULL),
        metered_tokens = metered_tokens + COALESCE(NEW.total_tokens, 0) - COALESCE(OLD.total_tokens, 0),
        priced_calls = priced_calls + (NEW.cost IS NOT NULL) - (OLD.cost IS NOT NULL),
        priced_cost = priced_cost + COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0)
    WHERE flow_id = NEW.flow_id AND hour = strftime('%Y-%m-%d %H:00:00.000000', NEW.begun_at);
END
