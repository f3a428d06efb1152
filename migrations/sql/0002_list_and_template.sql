-- Lists, newest first within one tenant. Its columns never change, so no update in place (HOT)
-- becomes dearer. Recipients and correlation ids have no index: docs/adr/0007 says why.
CREATE INDEX IF NOT EXISTS notification_of_tenant ON notification (tenant, id);

-- Which templates are in use: only rows with a template, and only until they are final.
CREATE INDEX IF NOT EXISTS notification_with_template ON notification (template_id)
  WHERE template_id IS NOT NULL AND (queued_at IS NOT NULL OR due_at IS NOT NULL);

CREATE TABLE template (
  id         uuid        NOT NULL PRIMARY KEY,
  tenant     text        NOT NULL,
  name       text        NOT NULL,
  channel    text        NOT NULL CHECK (channel IN ('sms', 'email', 'push')),
  body       text        NOT NULL,
  subject    text,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  UNIQUE (tenant, name)
);

CREATE INDEX template_of_tenant ON template (tenant, id);
