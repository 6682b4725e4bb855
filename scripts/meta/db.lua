---@meta
-- Repositories, for scripts. For editors (lua-language-server); never loaded.
-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.

---@class cw.Page
---@field items table[]
---@field next string # cursor of the next page, or json.null

db.transactions = {}

---One transaction by its hash (the first that came in, where several chains have it), with its input. Waits.
---@param args { hash: string, chain_id?: integer, include?: string[] }
---@return table?
---@return cw.Err?
function db.transactions:get(args) end

---One transaction by its hash (the first that came in, where several chains have it), with its input. Waits.
---@param args { hash: string, chain_id?: integer, include?: string[] }
---@return string?
---@return cw.Err?
function db.transactions:get_json(args) end

---Transactions from or to an address, newest first. Waits.
---@param args { address: string, direction?: "in"|"out"|"both", chain_id?: integer, since?: string|number, until?: string|number, include?: string[], limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.transactions:by_address(args) end

---Transactions from or to an address, newest first. Waits.
---@param args { address: string, direction?: "in"|"out"|"both", chain_id?: integer, since?: string|number, until?: string|number, include?: string[], limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.transactions:by_address_json(args) end

---Transactions as they came in, newest first. Waits.
---@param args { chain_id?: integer, include?: string[], limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.transactions:recent(args) end

---Transactions as they came in, newest first. Waits.
---@param args { chain_id?: integer, include?: string[], limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.transactions:recent_json(args) end

---Counts and sums over a period of block time. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer }
---@return table?
---@return cw.Err?
function db.transactions:statistics(args) end

---Counts and sums over a period of block time. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer }
---@return string?
---@return cw.Err?
function db.transactions:statistics_json(args) end

db.anomalies = {}

---Anomalies, newest first, each with its transaction. Those of rules in shadow only on demand. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, dedup_key?: string, min_score?: number, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.anomalies:list(args) end

---Anomalies, newest first, each with its transaction. Those of rules in shadow only on demand. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, dedup_key?: string, min_score?: number, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.anomalies:list_json(args) end

---One anomaly with its transaction. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.anomalies:get(args) end

---One anomaly with its transaction. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.anomalies:get_json(args) end

---How many anomalies match. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, dedup_key?: string, min_score?: number }
---@return table?
---@return cw.Err?
function db.anomalies:count(args) end

---How many anomalies match. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, dedup_key?: string, min_score?: number }
---@return string?
---@return cw.Err?
function db.anomalies:count_json(args) end

---Writes a reviewer's word on an anomaly; a false positive is dismissed unless a status says otherwise. Waits.
---@param args { id: integer, status?: "open"|"investigating"|"confirmed"|"dismissed", false_positive?: boolean, note?: string, reviewed_by?: integer }
---@return table?
---@return cw.Err?
function db.anomalies:review(args) end

---Writes a reviewer's word on an anomaly; a false positive is dismissed unless a status says otherwise. Waits.
---@param args { id: integer, status?: "open"|"investigating"|"confirmed"|"dismissed", false_positive?: boolean, note?: string, reviewed_by?: integer }
---@return string?
---@return cw.Err?
function db.anomalies:review_json(args) end

---By rule and severity in a period: how many, how many reviewed, how many false positives. Waits.
---@param args { since?: string|number, until?: string|number, rule?: string }
---@return table[]?
---@return cw.Err?
function db.anomalies:statistics(args) end

---By rule and severity in a period: how many, how many reviewed, how many false positives. Waits.
---@param args { since?: string|number, until?: string|number, rule?: string }
---@return string?
---@return cw.Err?
function db.anomalies:statistics_json(args) end

---Share of false positives among the reviewed anomalies; null while none is reviewed. Waits.
---@param args { since?: string|number, until?: string|number, rule?: string }
---@return table?
---@return cw.Err?
function db.anomalies:false_positive_rate(args) end

---Share of false positives among the reviewed anomalies; null while none is reviewed. Waits.
---@param args { since?: string|number, until?: string|number, rule?: string }
---@return string?
---@return cw.Err?
function db.anomalies:false_positive_rate_json(args) end

db.predictions = {}

---Verdicts, newest first; with a hash, those on one transaction. Waits.
---@param args { hash?: string, is_anomaly?: boolean, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.predictions:list(args) end

---Verdicts, newest first; with a hash, those on one transaction. Waits.
---@param args { hash?: string, is_anomaly?: boolean, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.predictions:list_json(args) end

---Counts over a period of arrival. Waits.
---@param args { since: string|number, until?: string|number }
---@return table?
---@return cw.Err?
function db.predictions:statistics(args) end

---Counts over a period of arrival. Waits.
---@param args { since: string|number, until?: string|number }
---@return string?
---@return cw.Err?
function db.predictions:statistics_json(args) end

db.models = {}

---Models and rules, newest first. Waits.
---@param args { model_type?: string, name?: string, is_active?: boolean, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.models:list(args) end

---Models and rules, newest first. Waits.
---@param args { model_type?: string, name?: string, is_active?: boolean, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.models:list_json(args) end

---One model. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.models:get(args) end

---One model. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.models:get_json(args) end

---A new model; its name must be free. Waits.
---@param args { name: string, model_type: string, description?: string, created_by?: integer }
---@return table?
---@return cw.Err?
function db.models:create(args) end

---A new model; its name must be free. Waits.
---@param args { name: string, model_type: string, description?: string, created_by?: integer }
---@return string?
---@return cw.Err?
function db.models:create_json(args) end

---Changes what is given. Waits.
---@param args { id: integer, description?: string, is_active?: boolean }
---@return table?
---@return cw.Err?
function db.models:update(args) end

---Changes what is given. Waits.
---@param args { id: integer, description?: string, is_active?: boolean }
---@return string?
---@return cw.Err?
function db.models:update_json(args) end

db.model_versions = {}

---Versions of a model, newest first. Waits.
---@param args { model_id?: integer, is_deployed?: boolean, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.model_versions:list(args) end

---Versions of a model, newest first. Waits.
---@param args { model_id?: integer, is_deployed?: boolean, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.model_versions:list_json(args) end

---One version, with a rule's source. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.model_versions:get(args) end

---One version, with a rule's source. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.model_versions:get_json(args) end

---A new version of a model, not deployed. Waits.
---@param args { model_id: integer, version: string, storage_path?: string, checksum?: string, training_dataset_size?: integer, training_duration_seconds?: number, hyperparameters?: any, metrics?: any, created_by?: integer }
---@return table?
---@return cw.Err?
function db.model_versions:create(args) end

---A new version of a model, not deployed. Waits.
---@param args { model_id: integer, version: string, storage_path?: string, checksum?: string, training_dataset_size?: integer, training_duration_seconds?: number, hyperparameters?: any, metrics?: any, created_by?: integer }
---@return string?
---@return cw.Err?
function db.model_versions:create_json(args) end

---Gives a version a share of the traffic (100 if none is given); the other versions share the rest. Waits.
---@param args { id: integer, traffic_percentage?: number }
---@return table?
---@return cw.Err?
function db.model_versions:deploy(args) end

---Gives a version a share of the traffic (100 if none is given); the other versions share the rest. Waits.
---@param args { id: integer, traffic_percentage?: number }
---@return string?
---@return cw.Err?
function db.model_versions:deploy_json(args) end

---Takes a version out of service. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.model_versions:withdraw(args) end

---Takes a version out of service. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.model_versions:withdraw_json(args) end

db.users = {}

---Users, newest first. Waits.
---@param args { is_active?: boolean, role?: "viewer"|"analyst"|"operator"|"admin"|"service", limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.users:list(args) end

---Users, newest first. Waits.
---@param args { is_active?: boolean, role?: "viewer"|"analyst"|"operator"|"admin"|"service", limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.users:list_json(args) end

---One user. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.users:get(args) end

---One user. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.users:get_json(args) end

---One user by e-mail address, in any case. Waits.
---@param args { email: string }
---@return table?
---@return cw.Err?
function db.users:by_email(args) end

---One user by e-mail address, in any case. Waits.
---@param args { email: string }
---@return string?
---@return cw.Err?
function db.users:by_email_json(args) end

---A new user; the e-mail address must be free. Waits.
---@param args { email: string, hashed_password?: string, roles?: string[] }
---@return table?
---@return cw.Err?
function db.users:create(args) end

---A new user; the e-mail address must be free. Waits.
---@param args { email: string, hashed_password?: string, roles?: string[] }
---@return string?
---@return cw.Err?
function db.users:create_json(args) end

---Changes what is given. Waits.
---@param args { id: integer, roles?: string[], is_active?: boolean }
---@return table?
---@return cw.Err?
function db.users:update(args) end

---Changes what is given. Waits.
---@param args { id: integer, roles?: string[], is_active?: boolean }
---@return string?
---@return cw.Err?
function db.users:update_json(args) end

---Replaces the password's hash. Waits.
---@param args { id: integer, hashed_password: string }
---@return table?
---@return cw.Err?
function db.users:set_password(args) end

---Replaces the password's hash. Waits.
---@param args { id: integer, hashed_password: string }
---@return string?
---@return cw.Err?
function db.users:set_password_json(args) end

---Notes a login. Waits.
---@param args { id: integer }
---@return integer?
---@return cw.Err?
function db.users:touch(args) end

---How many users, and active admins. Waits.
---@return table?
---@return cw.Err?
function db.users:count() end

---How many users, and active admins. Waits.
---@return string?
---@return cw.Err?
function db.users:count_json() end

db.api_keys = {}

---A key and its user by the SHA-256 of the token, whatever its state. Waits.
---@param args { hashed_key: string }
---@return table?
---@return cw.Err?
function db.api_keys:by_hash(args) end

---A key and its user by the SHA-256 of the token, whatever its state. Waits.
---@param args { hashed_key: string }
---@return string?
---@return cw.Err?
function db.api_keys:by_hash_json(args) end

---Keys and their users by what a person sees of the token. Waits.
---@param args { prefix: string }
---@return table[]?
---@return cw.Err?
function db.api_keys:by_prefix(args) end

---Keys and their users by what a person sees of the token. Waits.
---@param args { prefix: string }
---@return string?
---@return cw.Err?
function db.api_keys:by_prefix_json(args) end

---Keys, newest first. Waits.
---@param args { user_id?: integer, is_active?: boolean, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.api_keys:list(args) end

---Keys, newest first. Waits.
---@param args { user_id?: integer, is_active?: boolean, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.api_keys:list_json(args) end

---A new key of a user. Waits.
---@param args { user_id: integer, name: string, hashed_key: string, prefix: string, scopes?: string[], expires_at?: string|number }
---@return table?
---@return cw.Err?
function db.api_keys:create(args) end

---A new key of a user. Waits.
---@param args { user_id: integer, name: string, hashed_key: string, prefix: string, scopes?: string[], expires_at?: string|number }
---@return string?
---@return cw.Err?
function db.api_keys:create_json(args) end

---Ends a key; with user_id only if it is that user's. Waits.
---@param args { id: integer, user_id?: integer }
---@return table?
---@return cw.Err?
function db.api_keys:revoke(args) end

---Ends a key; with user_id only if it is that user's. Waits.
---@param args { id: integer, user_id?: integer }
---@return string?
---@return cw.Err?
function db.api_keys:revoke_json(args) end

---Notes that a key was used, once a minute at most. Waits.
---@param args { id: integer }
---@return integer?
---@return cw.Err?
function db.api_keys:touch(args) end

db.audit_logs = {}

---One more link of the chain. `details` is JSON text, kept as it is. Waits.
---@param args { event_type: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, user_agent?: string, request_id?: string, details?: string, severity?: "info"|"warning"|"error"|"critical" }
---@return table?
---@return cw.Err?
function db.audit_logs:append(args) end

---One more link of the chain. `details` is JSON text, kept as it is. Waits.
---@param args { event_type: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, user_agent?: string, request_id?: string, details?: string, severity?: "info"|"warning"|"error"|"critical" }
---@return string?
---@return cw.Err?
function db.audit_logs:append_json(args) end

---Number and hash of the newest entry; none while the log is empty. Waits.
---@return table?
---@return cw.Err?
function db.audit_logs:last() end

---Number and hash of the newest entry; none while the log is empty. Waits.
---@return string?
---@return cw.Err?
function db.audit_logs:last_json() end

---One entry. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.audit_logs:get(args) end

---One entry. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.audit_logs:get_json(args) end

---Audit entries, newest first. An event type that ends in a dot stands for all that begin so. Waits.
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical", limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.audit_logs:list(args) end

---Audit entries, newest first. An event type that ends in a dot stands for all that begin so. Waits.
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical", limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.audit_logs:list_json(args) end

---By event type, status and severity in a period: how many, of how many users and addresses. Waits.
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical" }
---@return table[]?
---@return cw.Err?
function db.audit_logs:statistics(args) end

---By event type, status and severity in a period: how many, of how many users and addresses. Waits.
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical" }
---@return string?
---@return cw.Err?
function db.audit_logs:statistics_json(args) end

---Entries after a place in the chain, oldest first. Waits.
---@param args { after: integer, limit: integer }
---@return table[]?
---@return cw.Err?
function db.audit_logs:chain(args) end

---Entries after a place in the chain, oldest first. Waits.
---@param args { after: integer, limit: integer }
---@return string?
---@return cw.Err?
function db.audit_logs:chain_json(args) end

db.system_metrics = {}

---Many samples at once: [{"name":, "value":, "tags":{}}]. Waits.
---@param args { samples: any, timestamp?: string|number }
---@return integer?
---@return cw.Err?
function db.system_metrics:append(args) end

---Samples of one metric, newest first; `tags` are those that must be there. Waits.
---@param args { name: string, since?: string|number, until?: string|number, tags?: any, limit?: integer, cursor?: string }
---@return cw.Page?
---@return cw.Err?
function db.system_metrics:list(args) end

---Samples of one metric, newest first; `tags` are those that must be there. Waits.
---@param args { name: string, since?: string|number, until?: string|number, tags?: any, limit?: integer, cursor?: string }
---@return string?
---@return cw.Err?
function db.system_metrics:list_json(args) end

---Names of the metrics that have samples. Waits.
---@return table[]?
---@return cw.Err?
function db.system_metrics:names() end

---Names of the metrics that have samples. Waits.
---@return string?
---@return cw.Err?
function db.system_metrics:names_json() end

db.rule_states = {}

---Rules that have ever been switched off or quarantined. Waits.
---@return table[]?
---@return cw.Err?
function db.rule_states:list() end

---Rules that have ever been switched off or quarantined. Waits.
---@return string?
---@return cw.Err?
function db.rule_states:list_json() end
