-- Only the owner prunes: by a plain DELETE, which calls_young_stay bounds. With the function goes every right to call it.

DROP FUNCTION ledger_prune(integer)
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
REVOKE ALL ON FUNCTION ledger_keep_rejection() FROM PUBLIC
