DROP FUNCTION IF EXISTS tocsin_detach_week(text), tocsin_drop_detached();
DROP TABLE IF EXISTS operation, walk;
DROP INDEX IF EXISTS dead_letter_of_tenant, dead_letter_open;
ALTER TABLE dead_letter
  DROP COLUMN operation_id, DROP COLUMN resolved_why, DROP COLUMN resolved_by,
  DROP COLUMN resolved_at, DROP COLUMN resolution;
ALTER TABLE notification DROP COLUMN redacted_at;
