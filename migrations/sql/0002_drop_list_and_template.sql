DROP TABLE IF EXISTS template;
DROP INDEX IF EXISTS notification_of_tenant, notification_with_template;
