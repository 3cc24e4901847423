-- A session that ended because another took its place in the same browser: its late
-- refusals must not clear the other's cookies, which have the same names.

ALTER TABLE ended_session ADD COLUMN replaced boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION announce_ended_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- On a channel of its own, and first: gateways of before hear the second as ever.
    IF NEW.replaced THEN
        PERFORM pg_notify('session_replaced', NEW.sid::text);
    END IF;
    PERFORM pg_notify('session_ended', NEW.sid::text);
    RETURN NULL;
END
$$;
