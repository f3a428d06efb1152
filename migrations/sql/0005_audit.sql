-- What operators did, who they were and why. A control is written here before it is set, so that
-- there is none that nobody is on record for; `effect` says what came of it.
CREATE TABLE audit (
  id           uuid        NOT NULL PRIMARY KEY,
  tenant       text        NOT NULL,
  action       text        NOT NULL,
  target       text        NOT NULL,
  who          text        NOT NULL,
  reason       text        NOT NULL,
  at           timestamptz NOT NULL,
  effect       text        NOT NULL CHECK (effect IN ('pending', 'done', 'failed')),
  details      jsonb       NOT NULL,
  control_key  text,
  revision     bigint,
  announced_at timestamptz,
  CONSTRAINT audit_waits_for_controls_alone CHECK (effect = 'done' OR control_key IS NOT NULL)
);

CREATE INDEX audit_of_tenant ON audit (tenant, id);

CREATE INDEX audit_unannounced ON audit (id) WHERE announced_at IS NULL AND effect <> 'failed';

-- Entries stay, and stay what they are. Only the effect of a pending one becomes known, that one
-- was announced is noted, and whom an erasure erases is taken out of what was written.
CREATE FUNCTION tocsin_keep_audit() RETURNS trigger
LANGUAGE plpgsql AS $keep$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'the audit is kept';
  END IF;
  IF (OLD.id, OLD.tenant, OLD.action, OLD.who, OLD.at) IS DISTINCT FROM (NEW.id, NEW.tenant, NEW.action, NEW.who, NEW.at)
     OR (OLD.effect <> 'pending' AND OLD.effect <> NEW.effect) THEN
    RAISE EXCEPTION 'an entry of the audit stays what it is';
  END IF;
  RETURN NEW;
END
$keep$;

CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION tocsin_keep_audit();

CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION tocsin_keep_audit();
