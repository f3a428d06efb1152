ALTER TABLE notification DROP COLUMN lost_leases;
DROP TABLE IF EXISTS job_run;
