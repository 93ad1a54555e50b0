-- What guards the ledger's tables on PostgreSQL. Statements are separated by lines of two dashes.
-- {schema} is the one that the tables are in. The functions of the owner's name it, and pg_temp after it: else a caller
-- could put a temporary table in the place of a real one.

-- A page keeps room for the ends of the calls that have begun on it.
ALTER TABLE calls SET (fillfactor = 80)
--
-- Its owner alone may replace the ledger's clock.
CREATE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()'
--
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dagma ledger: %', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$
--
CREATE TRIGGER calls_start_begun BEFORE INSERT ON calls FOR EACH ROW
    WHEN (NEW.state NOT IN ('begun', 'refused'))
    EXECUTE FUNCTION ledger_refuse('a call starts in the state begun')
--
CREATE FUNCTION ledger_time_begin() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    NEW.begun_at := ledger_now();
    NEW.submitted_at := NULL;
    NEW.finished_at := CASE WHEN NEW.state = 'refused' THEN NEW.begun_at END;
    RETURN NEW;
END $$
--
CREATE TRIGGER calls_time_begin BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION ledger_time_begin()
--
CREATE TRIGGER calls_finished_stay BEFORE UPDATE ON calls FOR EACH ROW
    WHEN (OLD.state IN ('answered', 'failed', 'cancelled'))
    EXECUTE FUNCTION ledger_refuse('a finished call can not be changed')
--
CREATE FUNCTION ledger_move_call() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF OLD.state = 'refused' THEN
        IF NEW.refusals IS DISTINCT FROM OLD.refusals + 1
            OR to_jsonb(NEW) - 'refusals' IS DISTINCT FROM to_jsonb(OLD) - 'refusals'
        THEN
            RAISE EXCEPTION 'dagma ledger: a refused call is counted, and nothing else of it can be changed'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        NEW.finished_at := GREATEST(ledger_now(), OLD.finished_at);
        RETURN NEW;
    END IF;
    NEW.submitted_at := OLD.submitted_at;
    NEW.finished_at := OLD.finished_at;
    IF NEW.state <> OLD.state THEN
        IF NEW.state IN ('begun', 'refused') OR (OLD.state = 'unknown' AND NEW.state = 'submitted') THEN
            RAISE EXCEPTION 'dagma ledger: a call that is % does not become %', OLD.state, NEW.state
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        -- The clock of the server may have been set back since.
        IF NEW.state = 'submitted' THEN
            NEW.submitted_at := GREATEST(ledger_now(), OLD.begun_at);
        ELSE
            NEW.finished_at := GREATEST(ledger_now(), OLD.begun_at);
            IF NEW.state <> 'unknown' AND NEW.duration_ms IS NULL THEN
                NEW.duration_ms := round(extract(epoch FROM NEW.finished_at - OLD.begun_at) * 1000);
            END IF;
        END IF;
    END IF;
    RETURN NEW;
END $$
--
CREATE TRIGGER calls_move BEFORE UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION ledger_move_call()
--
CREATE TRIGGER calls_identity_stays BEFORE UPDATE OF
    id, key, attempt, scope, flow_id, flow_name, flow_title, flow_version, backend, mode, run_id, step, partition_key,
    row_key, principal, begun_at, reserved_tokens, reserved_cost, input_characters, input_hash, input_text
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
CREATE FUNCTION ledger_count_call() RETURNS trigger
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
--
CREATE TRIGGER calls_counted AFTER INSERT ON calls FOR EACH ROW
    WHEN (NEW.state = 'begun')
    EXECUTE FUNCTION ledger_count_call()
--
-- A change of a call that changes no total, as when its job is named, leaves the totals alone.
CREATE TRIGGER calls_counted_anew AFTER UPDATE ON calls FOR EACH ROW
    WHEN (
        (OLD.total_tokens, OLD.cost, OLD.estimated_tokens, OLD.estimated_cost)
        IS DISTINCT FROM (NEW.total_tokens, NEW.cost, NEW.estimated_tokens, NEW.estimated_cost)
        OR (NEW.state IN ('failed', 'cancelled') AND (OLD.reserved_tokens, OLD.reserved_cost) <> (0, 0))
    )
    EXECUTE FUNCTION ledger_count_call()
--
CREATE FUNCTION ledger_keep_replay() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM calls
        WHERE id = NEW.call_id AND state = 'answered'
            AND answer_hash = encode(sha256(convert_to(NEW.body, 'UTF8')), 'hex')
    ) THEN
        RAISE EXCEPTION 'dagma ledger: a raw response is kept for the call that it answered'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.created_at := ledger_now();
    NEW.expires_at := LEAST(GREATEST(NEW.expires_at, NEW.created_at), NEW.created_at + interval '3650 days');
    RETURN NEW;
END $$
--
CREATE TRIGGER replays_of_their_call BEFORE INSERT ON replays FOR EACH ROW EXECUTE FUNCTION ledger_keep_replay()
--
CREATE FUNCTION ledger_expire_replays() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    expired bigint;
BEGIN
    DELETE FROM replays WHERE expires_at < ledger_now();
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END $$
--
CREATE FUNCTION ledger_reject_answer() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM calls WHERE id = NEW.call_id AND state IN ('answered', 'unknown')) THEN
        RAISE EXCEPTION 'dagma ledger: only a call that is answered or unknown can be rejected'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.rejected_at := ledger_now();
    NEW.reason := left(NEW.reason, 1000);
    DELETE FROM replays WHERE call_id = NEW.call_id;
    RETURN NEW;
END $$
--
CREATE TRIGGER rejections_of_answers BEFORE INSERT ON rejections FOR EACH ROW EXECUTE FUNCTION ledger_reject_answer()
--
CREATE TRIGGER rejections_stay BEFORE UPDATE ON rejections FOR EACH ROW
    EXECUTE FUNCTION ledger_refuse('a rejection can not be changed')
--
CREATE FUNCTION ledger_keep_rejection() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    -- Of a call that is being deleted no row is seen here any more.
    IF EXISTS (SELECT 1 FROM calls WHERE id = OLD.call_id) THEN
        RAISE EXCEPTION 'dagma ledger: a rejection is deleted with its call only'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$
--
CREATE TRIGGER rejections_go_with_their_call BEFORE DELETE ON rejections FOR EACH ROW
    EXECUTE FUNCTION ledger_keep_rejection()
--
CREATE TRIGGER rejections_never_truncated BEFORE TRUNCATE ON rejections
    EXECUTE FUNCTION ledger_refuse('rejections can not be truncated')
--
CREATE FUNCTION ledger_look_further() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NEW.lost_until NOT BETWEEN OLD.lost_until AND ledger_now() THEN
        RAISE EXCEPTION 'dagma ledger: lost calls were not looked for until then'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
--
CREATE TRIGGER housekeeping_goes_on BEFORE UPDATE ON housekeeping FOR EACH ROW EXECUTE FUNCTION ledger_look_further()
--
-- The application prunes what is past its days, and has no say in how many days those are.
CREATE FUNCTION ledger_prune_expired(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    pruned bigint;
BEGIN
    DELETE FROM calls WHERE id IN (
        SELECT id FROM calls
        WHERE begun_at < now() - (SELECT make_interval(days => keep_days) FROM retention WHERE keep_days > 0)
        ORDER BY begun_at LIMIT most
        FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
END $$
--
REVOKE ALL ON FUNCTION
    ledger_refuse(), ledger_time_begin(), ledger_move_call(), ledger_count_call(), ledger_keep_replay(),
    ledger_expire_replays(), ledger_reject_answer(), ledger_keep_rejection(), ledger_look_further(),
    ledger_prune_expired(integer)
    FROM PUBLIC
