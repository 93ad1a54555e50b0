-- Guards of the ledger on PostgreSQL. Statements are separated by lines of two dashes.
-- {schema} is the one that the migration runs in. The functions of the owner's name it, and pg_temp after it: else a
-- caller could put a temporary table in the place of a real one.

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dagma ledger: %', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$
--
CREATE TRIGGER calls_start_begun BEFORE INSERT ON calls FOR EACH ROW
    WHEN (NEW.state <> 'begun')
    EXECUTE FUNCTION ledger_refuse('a call starts in the state begun')
--
CREATE TRIGGER calls_finished_stay BEFORE UPDATE ON calls FOR EACH ROW
    WHEN (OLD.state IN ('answered', 'failed', 'cancelled'))
    EXECUTE FUNCTION ledger_refuse('a finished call can not be changed')
--
CREATE TRIGGER calls_identity_stays BEFORE UPDATE OF
    id, key, attempt, scope, flow_id, flow_name, flow_version, backend, mode, run_id, step, partition_key, row_key,
    begun_at, reserved_tokens, reserved_cost, input_hash, input_text
    ON calls FOR EACH ROW
    EXECUTE FUNCTION ledger_refuse('what identifies a call can not be changed')
--
CREATE TRIGGER calls_young_stay BEFORE DELETE ON calls FOR EACH ROW
    WHEN (OLD.begun_at > now() - interval '30 days')
    EXECUTE FUNCTION ledger_refuse('a call younger than 30 days can not be deleted')
--
CREATE TRIGGER calls_never_truncated BEFORE TRUNCATE ON calls
    EXECUTE FUNCTION ledger_refuse('calls can not be truncated')
--
CREATE TRIGGER rejections_stay BEFORE UPDATE ON rejections FOR EACH ROW
    EXECUTE FUNCTION ledger_refuse('a rejection can not be changed')
--
CREATE FUNCTION ledger_count_call() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO usage_hours AS totals (
            flow_id, hour, flow_name, calls, tokens, cost, metered_calls, metered_tokens, priced_calls, priced_cost
        ) VALUES (
            NEW.flow_id, date_trunc('hour', NEW.begun_at, 'UTC'), NEW.flow_name,
            1, NEW.counted_tokens, NEW.counted_cost, 0, 0, 0, 0
        ) ON CONFLICT (flow_id, hour) DO UPDATE SET
            flow_name = COALESCE(excluded.flow_name, totals.flow_name),
            calls = totals.calls + 1,
            tokens = totals.tokens + excluded.tokens,
            cost = totals.cost + excluded.cost;
    ELSE
        UPDATE usage_hours SET
            tokens = tokens + NEW.counted_tokens - OLD.counted_tokens,
            cost = cost + NEW.counted_cost - OLD.counted_cost,
            metered_calls = metered_calls + (NEW.total_tokens IS NOT NULL)::int - (OLD.total_tokens IS NOT NULL)::int,
            metered_tokens = metered_tokens + COALESCE(NEW.total_tokens, 0) - COALESCE(OLD.total_tokens, 0),
            priced_calls = priced_calls + (NEW.cost IS NOT NULL)::int - (OLD.cost IS NOT NULL)::int,
            priced_cost = priced_cost + COALESCE(NEW.cost, 0) - COALESCE(OLD.cost, 0)
        WHERE flow_id = NEW.flow_id AND hour = date_trunc('hour', NEW.begun_at, 'UTC');
    END IF;
    RETURN NULL;
END $$
--
CREATE TRIGGER calls_counted AFTER INSERT OR UPDATE ON calls FOR EACH ROW
    EXECUTE FUNCTION ledger_count_call()
--
CREATE FUNCTION ledger_prune(keep_days integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    IF keep_days < 30 THEN
        RAISE EXCEPTION 'dagma ledger: calls are kept for at least 30 days'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    DELETE FROM calls WHERE begun_at < now() - make_interval(days => keep_days);
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END $$
--
REVOKE ALL ON FUNCTION ledger_prune(integer), ledger_count_call(), ledger_refuse() FROM PUBLIC
