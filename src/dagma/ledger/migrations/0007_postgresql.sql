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
REVOKE ALL ON FUNCTION ledger_prune_expired(integer) FROM PUBLIC
