-- The audit log is written seldom and searched by whatever is known: each of its fields leads to its entries.

-- migrate:up

CREATE INDEX audit_logs_api_key_id_idx ON audit_logs (api_key_id, id) WHERE api_key_id IS NOT NULL;
CREATE INDEX audit_logs_resource_idx ON audit_logs (resource, id);
CREATE INDEX audit_logs_action_idx ON audit_logs (action, id);
CREATE INDEX audit_logs_status_idx ON audit_logs (status, id);
CREATE INDEX audit_logs_severity_idx ON audit_logs (severity, id);
CREATE INDEX audit_logs_ip_address_idx ON audit_logs (ip_address, id) WHERE ip_address IS NOT NULL;
CREATE INDEX audit_logs_request_id_idx ON audit_logs (request_id, id) WHERE request_id IS NOT NULL;

-- migrate:down

DROP INDEX audit_logs_request_id_idx;
DROP INDEX audit_logs_ip_address_idx;
DROP INDEX audit_logs_severity_idx;
DROP INDEX audit_logs_status_idx;
DROP INDEX audit_logs_action_idx;
DROP INDEX audit_logs_resource_idx;
DROP INDEX audit_logs_api_key_id_idx;
