-- A change of a call that changes no total, as when its job is named, leaves the totals alone.

DROP TRIGGER calls_counted ON calls
--
CREATE TRIGGER calls_counted AFTER INSERT ON calls FOR EACH ROW
    EXECUTE FUNCTION ledger_count_call()
--
CREATE TRIGGER calls_counted_anew AFTER UPDATE ON calls FOR EACH ROW
    WHEN (
        (OLD.counted_tokens, OLD.counted_cost, OLD.total_tokens, OLD.cost)
        IS DISTINCT FROM (NEW.counted_tokens, NEW.counted_cost, NEW.total_tokens, NEW.cost)
    )
    EXECUTE FUNCTION ledger_count_call()
