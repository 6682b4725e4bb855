---@meta
-- Repositories, for scripts. For editors (lua-language-server); never loaded.
-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.

---@class cw.Page
---@field items table[]
---@field next string # cursor of the next page, or json.null

db.transactions = {}

---One transaction by its hash, with its input: the first that came in, where several chains have it; one that its chain has dropped only if it did not come again. Waits.
---@param args { hash: string, chain_id?: integer, include?: string[] }
---@return table?
---@return cw.Err?
function db.transactions:get(args) end

---One transaction by its hash, with its input: the first that came in, where several chains have it; one that its chain has dropped only if it did not come again. Waits.
---@param args { hash: string, chain_id?: integer, include?: string[] }
---@return string?
---@return cw.Err?
function db.transactions:get_json(args) end

---Transactions from or to an address, newest first. Waits.
---@param args { address: string, direction?: "in"|"out"|"both", chain_id?: integer, since?: string|number, until?: string|number, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.transactions:by_address(args) end

---Transactions from or to an address, newest first. Waits.
---@param args { address: string, direction?: "in"|"out"|"both", chain_id?: integer, since?: string|number, until?: string|number, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.transactions:by_address_json(args) end

---Transactions in the order in which they came in, newest first; `after` and `before` are identities. Waits.
---@param args { chain_id?: integer, status?: integer, canonical?: boolean, after?: integer, before?: integer, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.transactions:list(args) end

---Transactions in the order in which they came in, newest first; `after` and `before` are identities. Waits.
---@param args { chain_id?: integer, status?: integer, canonical?: boolean, after?: integer, before?: integer, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.transactions:list_json(args) end

---The transactions of one block, in its order. Waits.
---@param args { chain_id: integer, block_number: integer, include?: string[] }
---@return table[]?
---@return cw.Err?
function db.transactions:by_block(args) end

---The transactions of one block, in its order. Waits.
---@param args { chain_id: integer, block_number: integer, include?: string[] }
---@return string?
---@return cw.Err?
function db.transactions:by_block_json(args) end

---Transactions of a period of block time, newest first; with `min_value` those of high value. Waits.
---@param args { since?: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer, max_value?: string|integer, status?: integer, canonical?: boolean, creation?: boolean, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.transactions:by_time(args) end

---Transactions of a period of block time, newest first; with `min_value` those of high value. Waits.
---@param args { since?: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer, max_value?: string|integer, status?: integer, canonical?: boolean, creation?: boolean, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.transactions:by_time_json(args) end

---How many transactions there are of a period of block time. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer }
---@return table?
---@return cw.Err?
function db.transactions:count(args) end

---How many transactions there are of a period of block time. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer }
---@return string?
---@return cw.Err?
function db.transactions:count_json(args) end

---Totals, averages and extremes over a period of block time, exact decimals; averages are cut off to a whole. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer }
---@return table?
---@return cw.Err?
function db.transactions:statistics(args) end

---Totals, averages and extremes over a period of block time, exact decimals; averages are cut off to a whole. Waits.
---@param args { since: string|number, until?: string|number, chain_id?: integer, min_value?: string|integer }
---@return string?
---@return cw.Err?
function db.transactions:statistics_json(args) end

---History, many at once, with the names that `get` gives; known ones are left out. No rule sees them: what is to be judged goes through predict. Their identities are below zero. Waits.
---@param args { rows: any }
---@return integer?
---@return cw.Err?
function db.transactions:bulk_create(args) end

db.anomalies = {}

---Anomalies, newest first, each with its transaction. Those of rules in shadow only on demand. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, suppressed?: boolean, finality?: "provisional"|"final"|"retracted", dedup_key?: string, min_score?: number, entity?: string, role?: "actor"|"victim"|"counterparty"|"unknown", label_withdrawn?: boolean, list?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.anomalies:list(args) end

---Anomalies, newest first, each with its transaction. Those of rules in shadow only on demand. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, suppressed?: boolean, finality?: "provisional"|"final"|"retracted", dedup_key?: string, min_score?: number, entity?: string, role?: "actor"|"victim"|"counterparty"|"unknown", label_withdrawn?: boolean, list?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
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
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, suppressed?: boolean, finality?: "provisional"|"final"|"retracted", dedup_key?: string, min_score?: number, entity?: string, role?: "actor"|"victim"|"counterparty"|"unknown", label_withdrawn?: boolean, list?: string }
---@return table?
---@return cw.Err?
function db.anomalies:count(args) end

---How many anomalies match. Waits.
---@param args { severity?: "low"|"medium"|"high"|"critical", min_severity?: "low"|"medium"|"high"|"critical", rule?: string, address?: string, hash?: string, chain_id?: integer, since?: string|number, until?: string|number, reviewed?: boolean, false_positive?: boolean, status?: "open"|"investigating"|"confirmed"|"dismissed", shadow?: boolean, suppressed?: boolean, finality?: "provisional"|"final"|"retracted", dedup_key?: string, min_score?: number, entity?: string, role?: "actor"|"victim"|"counterparty"|"unknown", label_withdrawn?: boolean, list?: string }
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

---The transactions on which a living alert fired, newest first, with what the rule said of each. Waits.
---@param args { id: integer, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.anomalies:evidence(args) end

---The transactions on which a living alert fired, newest first, with what the rule said of each. Waits.
---@param args { id: integer, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.anomalies:evidence_json(args) end

db.predictions = {}

---Verdicts, newest first; with a hash, those on one transaction. Waits.
---@param args { hash?: string, is_anomaly?: boolean, with_faults?: boolean, since?: string|number, until?: string|number, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.predictions:list(args) end

---Verdicts, newest first; with a hash, those on one transaction. Waits.
---@param args { hash?: string, is_anomaly?: boolean, with_faults?: boolean, since?: string|number, until?: string|number, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.predictions:list_json(args) end

---Counts over a period of arrival, of all or of one version of the ruleset or a model. Waits.
---@param args { since: string|number, until?: string|number, model_version_id?: integer }
---@return table?
---@return cw.Err?
function db.predictions:statistics(args) end

---Counts over a period of arrival, of all or of one version of the ruleset or a model. Waits.
---@param args { since: string|number, until?: string|number, model_version_id?: integer }
---@return string?
---@return cw.Err?
function db.predictions:statistics_json(args) end

db.models = {}

---Models and rules, newest first, on request with all their versions or the deployed ones. Waits.
---@param args { model_type?: string, not_type?: string, name?: string, is_active?: boolean, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.models:list(args) end

---Models and rules, newest first, on request with all their versions or the deployed ones. Waits.
---@param args { model_type?: string, not_type?: string, name?: string, is_active?: boolean, include?: string[], limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.models:list_json(args) end

---One model. Waits.
---@param args { id: integer, include?: string[] }
---@return table?
---@return cw.Err?
function db.models:get(args) end

---One model. Waits.
---@param args { id: integer, include?: string[] }
---@return string?
---@return cw.Err?
function db.models:get_json(args) end

---One model by its name: a rule by its id. Waits.
---@param args { name: string, include?: string[] }
---@return table?
---@return cw.Err?
function db.models:by_name(args) end

---One model by its name: a rule by its id. Waits.
---@param args { name: string, include?: string[] }
---@return string?
---@return cw.Err?
function db.models:by_name_json(args) end

---How many models match. Waits.
---@param args { model_type?: string, not_type?: string, name?: string, is_active?: boolean }
---@return table?
---@return cw.Err?
function db.models:count(args) end

---How many models match. Waits.
---@param args { model_type?: string, not_type?: string, name?: string, is_active?: boolean }
---@return string?
---@return cw.Err?
function db.models:count_json(args) end

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

---A model with its versions; a conflict while anomalies or predictions name one of them. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.models:delete(args) end

---A model with its versions; a conflict while anomalies or predictions name one of them. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.models:delete_json(args) end

db.model_versions = {}

---Versions, newest first: of a model, of a type, those that are deployed. Waits.
---@param args { model_id?: integer, model_type?: string, checksum?: string, is_deployed?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.model_versions:list(args) end

---Versions, newest first: of a model, of a type, those that are deployed. Waits.
---@param args { model_id?: integer, model_type?: string, checksum?: string, is_deployed?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.model_versions:list_json(args) end

---How many versions match. Waits.
---@param args { model_id?: integer, model_type?: string, checksum?: string, is_deployed?: boolean }
---@return table?
---@return cw.Err?
function db.model_versions:count(args) end

---How many versions match. Waits.
---@param args { model_id?: integer, model_type?: string, checksum?: string, is_deployed?: boolean }
---@return string?
---@return cw.Err?
function db.model_versions:count_json(args) end

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

---The version of a model that was made last. Waits.
---@param args { model_id: integer }
---@return table?
---@return cw.Err?
function db.model_versions:latest(args) end

---The version of a model that was made last. Waits.
---@param args { model_id: integer }
---@return string?
---@return cw.Err?
function db.model_versions:latest_json(args) end

---The deployed versions of a model and their shares, the largest first. Waits.
---@param args { model_id: integer }
---@return table[]?
---@return cw.Err?
function db.model_versions:traffic(args) end

---The deployed versions of a model and their shares, the largest first. Waits.
---@param args { model_id: integer }
---@return string?
---@return cw.Err?
function db.model_versions:traffic_json(args) end

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

---Changes what is given. Waits.
---@param args { id: integer, storage_path?: string, checksum?: string, training_dataset_size?: integer, training_duration_seconds?: number, hyperparameters?: any, metrics?: any }
---@return table?
---@return cw.Err?
function db.model_versions:update(args) end

---Changes what is given. Waits.
---@param args { id: integer, storage_path?: string, checksum?: string, training_dataset_size?: integer, training_duration_seconds?: number, hyperparameters?: any, metrics?: any }
---@return string?
---@return cw.Err?
function db.model_versions:update_json(args) end

---A version that is not deployed; a conflict while anomalies or predictions name it. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.model_versions:delete(args) end

---A version that is not deployed; a conflict while anomalies or predictions name it. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.model_versions:delete_json(args) end

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

---Sets the whole traffic split of a model: {"<id>": percentage}, together 100; who is not named gets none. Waits.
---@param args { model_id: integer, shares: any }
---@return table?
---@return cw.Err?
function db.model_versions:split(args) end

---Sets the whole traffic split of a model: {"<id>": percentage}, together 100; who is not named gets none. Waits.
---@param args { model_id: integer, shares: any }
---@return string?
---@return cw.Err?
function db.model_versions:split_json(args) end

db.users = {}

---Users, newest first. Waits.
---@param args { email?: string, is_active?: boolean, role?: "viewer"|"analyst"|"operator"|"admin"|"service", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.users:list(args) end

---Users, newest first. Waits.
---@param args { email?: string, is_active?: boolean, role?: "viewer"|"analyst"|"operator"|"admin"|"service", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
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

---Another password: access tokens that are out end with the old one. Waits.
---@param args { id: integer, hashed_password: string }
---@return table?
---@return cw.Err?
function db.users:set_password(args) end

---Another password: access tokens that are out end with the old one. Waits.
---@param args { id: integer, hashed_password: string }
---@return string?
---@return cw.Err?
function db.users:set_password_json(args) end

---A better hash of the same password. Waits.
---@param args { id: integer, hashed_password: string }
---@return integer?
---@return cw.Err?
function db.users:rehash(args) end

---Ends every access token of a user that is out. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.users:sign_out(args) end

---Ends every access token of a user that is out. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.users:sign_out_json(args) end

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

---One user with the password's hash, which only C sees. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.users:secret(args) end

---One user with the password's hash, which only C sees. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.users:secret_json(args) end

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
---@param args { user_id?: integer, is_active?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.api_keys:list(args) end

---Keys, newest first. Waits.
---@param args { user_id?: integer, is_active?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
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

---One key. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.api_keys:get(args) end

---One key. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.api_keys:get_json(args) end

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

db.sessions = {}

---A login: a new session with its first refresh token. Waits.
---@param args { user_id: integer, hashed_token: string, seconds: integer, ip_address?: string, user_agent?: string }
---@return table?
---@return cw.Err?
function db.sessions:open(args) end

---A login: a new session with its first refresh token. Waits.
---@param args { user_id: integer, hashed_token: string, seconds: integer, ip_address?: string, user_agent?: string }
---@return string?
---@return cw.Err?
function db.sessions:open_json(args) end

---Takes a refresh token, once, and puts the next one in its place; no row: it is not good. Waits.
---@param args { hashed_token: string, next_token: string }
---@return table?
---@return cw.Err?
function db.sessions:rotate(args) end

---Takes a refresh token, once, and puts the next one in its place; no row: it is not good. Waits.
---@param args { hashed_token: string, next_token: string }
---@return string?
---@return cw.Err?
function db.sessions:rotate_json(args) end

---What became of a refresh token. Waits.
---@param args { hashed_token: string }
---@return table?
---@return cw.Err?
function db.sessions:by_token(args) end

---What became of a refresh token. Waits.
---@param args { hashed_token: string }
---@return string?
---@return cw.Err?
function db.sessions:by_token_json(args) end

---Ends one session, or all of a user (but one); their tokens are good for nothing any more. Waits.
---@param args { id?: integer, user_id?: integer, except?: integer, reason: "logout"|"password"|"reuse"|"admin"|"deactivated" }
---@return integer?
---@return cw.Err?
function db.sessions:revoke(args) end

---Sessions, newest first. Waits.
---@param args { user_id?: integer, open?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.sessions:list(args) end

---Sessions, newest first. Waits.
---@param args { user_id?: integer, open?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.sessions:list_json(args) end

db.invitations = {}

---A one-time token with which a user sets a password. Waits.
---@param args { user_id: integer, hashed_token: string, created_by?: integer, seconds: integer }
---@return table?
---@return cw.Err?
function db.invitations:create(args) end

---A one-time token with which a user sets a password. Waits.
---@param args { user_id: integer, hashed_token: string, created_by?: integer, seconds: integer }
---@return string?
---@return cw.Err?
function db.invitations:create_json(args) end

---Uses an invitation up; no row: it is not good. Waits.
---@param args { hashed_token: string }
---@return table?
---@return cw.Err?
function db.invitations:take(args) end

---Uses an invitation up; no row: it is not good. Waits.
---@param args { hashed_token: string }
---@return string?
---@return cw.Err?
function db.invitations:take_json(args) end

db.revoked_tokens = {}

---Ends one access token. Waits.
---@param args { jti: string, user_id: integer, expires_at: string|number }
---@return integer?
---@return cw.Err?
function db.revoked_tokens:add(args) end

db.login_failures = {}

---How often logins with a name have failed, and how long ago the last one was. Waits.
---@param args { hashed_name: string }
---@return table?
---@return cw.Err?
function db.login_failures:get(args) end

---How often logins with a name have failed, and how long ago the last one was. Waits.
---@param args { hashed_name: string }
---@return string?
---@return cw.Err?
function db.login_failures:get_json(args) end

---One more; the first again when the last one is older than forget_s. Waits.
---@param args { hashed_name: string, forget_s: integer }
---@return table?
---@return cw.Err?
function db.login_failures:add(args) end

---One more; the first again when the last one is older than forget_s. Waits.
---@param args { hashed_name: string, forget_s: integer }
---@return string?
---@return cw.Err?
function db.login_failures:add_json(args) end

---A login has succeeded. Waits.
---@param args { hashed_name: string }
---@return integer?
---@return cw.Err?
function db.login_failures:clear(args) end

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
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.audit_logs:list(args) end

---Audit entries, newest first. An event type that ends in a dot stands for all that begin so. Waits.
---@param args { event_type?: string, user_id?: integer, api_key_id?: integer, resource?: string, action?: string, status?: string, ip_address?: string, request_id?: string, since?: string|number, until?: string|number, severity?: "info"|"warning"|"error"|"critical", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
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
---@param args { name: string, since?: string|number, until?: string|number, tags?: any, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.system_metrics:list(args) end

---Samples of one metric, newest first; `tags` are those that must be there. Waits.
---@param args { name: string, since?: string|number, until?: string|number, tags?: any, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.system_metrics:list_json(args) end

---One metric in buckets of so many seconds, oldest first, each set of tags by itself. Waits.
---@param args { name: string, since: string|number, until?: string|number, bucket: integer, tags?: any }
---@return table[]?
---@return cw.Err?
function db.system_metrics:series(args) end

---One metric in buckets of so many seconds, oldest first, each set of tags by itself. Waits.
---@param args { name: string, since: string|number, until?: string|number, bucket: integer, tags?: any }
---@return string?
---@return cw.Err?
function db.system_metrics:series_json(args) end

---Names of the metrics that have samples. Waits.
---@return table[]?
---@return cw.Err?
function db.system_metrics:names() end

---Names of the metrics that have samples. Waits.
---@return string?
---@return cw.Err?
function db.system_metrics:names_json() end

---What waits for a review: critical first, and the oldest first within a severity. Waits.
---@param args { min_severity?: "low"|"medium"|"high"|"critical", rule?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.anomalies:unreviewed(args) end

---What waits for a review: critical first, and the oldest first within a severity. Waits.
---@param args { min_severity?: "low"|"medium"|"high"|"critical", rule?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.anomalies:unreviewed_json(args) end

---What was found in the last hours, newest first. Waits.
---@param args { hours: number, min_severity?: "low"|"medium"|"high"|"critical", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.anomalies:recent(args) end

---What was found in the last hours, newest first. Waits.
---@param args { hours: number, min_severity?: "low"|"medium"|"high"|"critical", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.anomalies:recent_json(args) end

---The addresses with the most anomalies in a period; the anomalies of one address are `list { address = }`. Waits.
---@param args { since: string|number, until?: string|number, limit: integer }
---@return table[]?
---@return cw.Err?
function db.anomalies:by_entity(args) end

---The addresses with the most anomalies in a period; the anomalies of one address are `list { address = }`. Waits.
---@param args { since: string|number, until?: string|number, limit: integer }
---@return string?
---@return cw.Err?
function db.anomalies:by_entity_json(args) end

db.job_runs = {}

---Runs of a job, newest first. Waits.
---@param args { name: string, status?: "running"|"succeeded"|"failed"|"interrupted", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.job_runs:list(args) end

---Runs of a job, newest first. Waits.
---@param args { name: string, status?: "running"|"succeeded"|"failed"|"interrupted", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.job_runs:list_json(args) end

---One run of a job. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.job_runs:get(args) end

---One run of a job. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.job_runs:get_json(args) end

---The newest run of each of these jobs. Waits.
---@param args { names: string[] }
---@return table[]?
---@return cw.Err?
function db.job_runs:last(args) end

---The newest run of each of these jobs. Waits.
---@param args { names: string[] }
---@return string?
---@return cw.Err?
function db.job_runs:last_json(args) end

---Takes the run of a slot (or one by hand) for this engine; no row: another has it, or it is running. Waits.
---@param args { name: string, slot?: string|number, worker: string }
---@return table?
---@return cw.Err?
function db.job_runs:claim(args) end

---Takes the run of a slot (or one by hand) for this engine; no row: another has it, or it is running. Waits.
---@param args { name: string, slot?: string|number, worker: string }
---@return string?
---@return cw.Err?
function db.job_runs:claim_json(args) end

---What a run has to tell while it runs. Waits.
---@param args { id: integer, detail: any }
---@return integer?
---@return cw.Err?
function db.job_runs:progress(args) end

---The end of a run. Waits.
---@param args { id: integer, status: "succeeded"|"failed", detail?: any, error?: string }
---@return table?
---@return cw.Err?
function db.job_runs:finish(args) end

---The end of a run. Waits.
---@param args { id: integer, status: "succeeded"|"failed", detail?: any, error?: string }
---@return string?
---@return cw.Err?
function db.job_runs:finish_json(args) end

db.legal_holds = {}

---Legal holds, newest first. Waits.
---@param args { active?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.legal_holds:list(args) end

---Legal holds, newest first. Waits.
---@param args { active?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.legal_holds:list_json(args) end

---Nothing of this transaction, this address or this rule is deleted any more. Waits.
---@param args { hash?: string, address?: string, rule?: string, reason: string, created_by?: integer }
---@return table?
---@return cw.Err?
function db.legal_holds:create(args) end

---Nothing of this transaction, this address or this rule is deleted any more. Waits.
---@param args { hash?: string, address?: string, rule?: string, reason: string, created_by?: integer }
---@return string?
---@return cw.Err?
function db.legal_holds:create_json(args) end

---Ends a hold; the row stays. Waits.
---@param args { id: integer, released_by?: integer }
---@return table?
---@return cw.Err?
function db.legal_holds:release(args) end

---Ends a hold; the row stays. Waits.
---@param args { id: integer, released_by?: integer }
---@return string?
---@return cw.Err?
function db.legal_holds:release_json(args) end

db.partitions = {}

---Makes the months of predictions, audit_logs and system_metrics so far ahead where they are missing. Waits.
---@param args { months: integer }
---@return table?
---@return cw.Err?
function db.partitions:ahead(args) end

---Makes the months of predictions, audit_logs and system_metrics so far ahead where they are missing. Waits.
---@param args { months: integer }
---@return string?
---@return cw.Err?
function db.partitions:ahead_json(args) end

db.retention = {}

---How many rows of a class are older than a time, how many of them are under a legal hold, and the oldest. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, to_anonymise?: boolean }
---@return table?
---@return cw.Err?
function db.retention:count(args) end

---How many rows of a class are older than a time, how many of them are under a legal hold, and the oldest. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, to_anonymise?: boolean }
---@return string?
---@return cw.Err?
function db.retention:count_json(args) end

---Deletes a slice of a class of rows that are older than a time; what is under a legal hold stays. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, limit: integer }
---@return integer?
---@return cw.Err?
function db.retention:delete(args) end

---Takes what names a person (or the call data of a transaction) out of a slice of a class of rows. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, limit: integer }
---@return integer?
---@return cw.Err?
function db.retention:anonymise(args) end

---A slice of a class of rows as they are, for an archive. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, limit: integer, after?: integer }
---@return table[]?
---@return cw.Err?
function db.retention:fetch(args) end

---A slice of a class of rows as they are, for an archive. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, limit: integer, after?: integer }
---@return string?
---@return cw.Err?
function db.retention:fetch_json(args) end

---Deletes rows that were archived, as far as they are still of their class. Waits.
---@param args { table: "transactions"|"anomalies"|"predictions"|"audit_logs"|"system_metrics"|"job_runs"|"outbox"|"users", before: string|number, severity?: string[], reviewed?: boolean, shadow?: boolean, false_positive?: boolean, rule?: string, orphaned?: boolean, found?: boolean, is_anomaly?: boolean, metric?: string, delivered?: boolean, ids: any }
---@return integer?
---@return cw.Err?
function db.retention:delete_rows(args) end

---The months of a table that lie before a time as a whole. Waits.
---@param args { table: "predictions"|"audit_logs"|"system_metrics", before: string|number }
---@return table[]?
---@return cw.Err?
function db.retention:months(args) end

---The months of a table that lie before a time as a whole. Waits.
---@param args { table: "predictions"|"audit_logs"|"system_metrics", before: string|number }
---@return string?
---@return cw.Err?
function db.retention:months_json(args) end

---Detaches a month and drops it, in an instant or not at all: busy (55P03) when others use the table. Waits.
---@param args { table: "predictions"|"audit_logs"|"system_metrics", name: string }
---@return table?
---@return cw.Err?
function db.retention:drop_month(args) end

---Detaches a month and drops it, in an instant or not at all: busy (55P03) when others use the table. Waits.
---@param args { table: "predictions"|"audit_logs"|"system_metrics", name: string }
---@return string?
---@return cw.Err?
function db.retention:drop_month_json(args) end

db.labels = {}

---All that is said of an address, by list; those of chain 0 hold on every chain. Waits.
---@param args { address: string, chain_id?: integer, expired?: boolean }
---@return table[]?
---@return cw.Err?
function db.labels:of(args) end

---All that is said of an address, by list; those of chain 0 hold on every chain. Waits.
---@param args { address: string, chain_id?: integer, expired?: boolean }
---@return string?
---@return cw.Err?
function db.labels:of_json(args) end

---The entries of one list by address; `after` is the last address of the part before. All entries of an address come together, so there may be some more than `limit`. Waits.
---@param args { list: string, category?: string, source?: string, chain_id?: integer, expired?: boolean, after?: string, limit: integer }
---@return table[]?
---@return cw.Err?
function db.labels:list(args) end

---The entries of one list by address; `after` is the last address of the part before. All entries of an address come together, so there may be some more than `limit`. Waits.
---@param args { list: string, category?: string, source?: string, chain_id?: integer, expired?: boolean, after?: string, limit: integer }
---@return string?
---@return cw.Err?
function db.labels:list_json(args) end

---How many entries of a list match. Waits.
---@param args { list: string, category?: string, source?: string, chain_id?: integer, expired?: boolean }
---@return table?
---@return cw.Err?
function db.labels:count(args) end

---How many entries of a list match. Waits.
---@param args { list: string, category?: string, source?: string, chain_id?: integer, expired?: boolean }
---@return string?
---@return cw.Err?
function db.labels:count_json(args) end

---The lists, each with its newest version and whether it hides alerts. Waits.
---@param args { list?: string }
---@return table[]?
---@return cw.Err?
function db.labels:lists(args) end

---The lists, each with its newest version and whether it hides alerts. Waits.
---@param args { list?: string }
---@return string?
---@return cw.Err?
function db.labels:lists_json(args) end

---Every change of a list, newest first: checksum, counts, who, when. Waits.
---@param args { list: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.labels:versions(args) end

---Every change of a list, newest first: checksum, counts, who, when. Waits.
---@param args { list: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.labels:versions_json(args) end

---Alerts that were opened again because an entry of the list was taken away, newest first. Waits.
---@param args { list: string, version?: integer, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.labels:withdrawals(args) end

---Alerts that were opened again because an entry of the list was taken away, newest first. Waits.
---@param args { list: string, version?: integer, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.labels:withdrawals_json(args) end

---Addresses of a list that some list names as sanctioned: their alerts are not hidden by it. 100 at most. Waits.
---@param args { list: string }
---@return table[]?
---@return cw.Err?
function db.labels:sanctioned(args) end

---Addresses of a list that some list names as sanctioned: their alerts are not hidden by it. 100 at most. Waits.
---@param args { list: string }
---@return string?
---@return cw.Err?
function db.labels:sanctioned_json(args) end

---Some of the entries for the import of this database transaction: large lists come in parts. Waits.
---@param args { rows: any }
---@return table?
---@return cw.Err?
function db.labels:stage(args) end

---Some of the entries for the import of this database transaction: large lists come in parts. Waits.
---@param args { rows: any }
---@return string?
---@return cw.Err?
function db.labels:stage_json(args) end

---Entries of a list: [{"address":, "chain_id":, "category":, "label":, "source":, "confidence":, "first_seen":, "last_seen":, "expires_at":}], times in seconds, and what was staged. With `replace` the others leave the list, and alerts that rested on them are opened again. Gives the new version; nothing where nothing changed. Waits.
---@param args { list: string, rows?: any, replace?: boolean, format?: string, file?: string, created_by?: integer, events?: boolean }
---@return table?
---@return cw.Err?
function db.labels:import(args) end

---Entries of a list: [{"address":, "chain_id":, "category":, "label":, "source":, "confidence":, "first_seen":, "last_seen":, "expires_at":}], times in seconds, and what was staged. With `replace` the others leave the list, and alerts that rested on them are opened again. Gives the new version; nothing where nothing changed. Waits.
---@param args { list: string, rows?: any, replace?: boolean, format?: string, file?: string, created_by?: integer, events?: boolean }
---@return string?
---@return cw.Err?
function db.labels:import_json(args) end

---Takes an address off a list (on one chain, of one category, where given), or all of them, and opens the alerts again that rested on it. Gives the new version; nothing where there was no such entry. Waits.
---@param args { list: string, address?: string, chain_id?: integer, category?: string, removed_by?: integer, events?: boolean }
---@return table?
---@return cw.Err?
function db.labels:remove(args) end

---Takes an address off a list (on one chain, of one category, where given), or all of them, and opens the alerts again that rested on it. Gives the new version; nothing where there was no such entry. Waits.
---@param args { list: string, address?: string, chain_id?: integer, category?: string, removed_by?: integer, events?: boolean }
---@return string?
---@return cw.Err?
function db.labels:remove_json(args) end

---Lets a list hide alerts, or not any more: of which rules (patterns of ids and tags), whose address must be on it, and up to which severity. Gives the new version; nothing where there is no such list. Waits.
---@param args { list: string, on: boolean, rules?: string[], side?: "entity"|"counterparty"|"either", max_severity?: "low"|"medium"|"high"|"critical", reason?: string, owner?: integer }
---@return table?
---@return cw.Err?
function db.labels:suppress(args) end

---Lets a list hide alerts, or not any more: of which rules (patterns of ids and tags), whose address must be on it, and up to which severity. Gives the new version; nothing where there is no such list. Waits.
---@param args { list: string, on: boolean, rules?: string[], side?: "entity"|"counterparty"|"either", max_severity?: "low"|"medium"|"high"|"critical", reason?: string, owner?: integer }
---@return string?
---@return cw.Err?
function db.labels:suppress_json(args) end

db.outbox = {}

---Deliveries, newest first: those of an anomaly, of a target, due, delivered or given up. Waits.
---@param args { target?: string, anomaly_id?: integer, state?: "due"|"delivered"|"failed", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.outbox:list(args) end

---Deliveries, newest first: those of an anomaly, of a target, due, delivered or given up. Waits.
---@param args { target?: string, anomaly_id?: integer, state?: "due"|"delivered"|"failed", limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.outbox:list_json(args) end

---Deliveries whose time has come, the longest overdue first; locked for the transaction that asks. Waits.
---@param args { limit: integer, routed?: boolean }
---@return table[]?
---@return cw.Err?
function db.outbox:due(args) end

---Deliveries whose time has come, the longest overdue first; locked for the transaction that asks. Waits.
---@param args { limit: integer, routed?: boolean }
---@return string?
---@return cw.Err?
function db.outbox:due_json(args) end

---Takes a target's due deliveries for `lease_s` seconds; then they are due again unless they were ended. Waits.
---@param args { target: string, limit: integer, lease_s: number, worker?: string }
---@return table[]?
---@return cw.Err?
function db.outbox:claim(args) end

---Takes a target's due deliveries for `lease_s` seconds; then they are due again unless they were ended. Waits.
---@param args { target: string, limit: integer, lease_s: number, worker?: string }
---@return string?
---@return cw.Err?
function db.outbox:claim_json(args) end

---What waits and what was given up, for each target. Waits.
---@return table[]?
---@return cw.Err?
function db.outbox:targets() end

---What waits and what was given up, for each target. Waits.
---@return string?
---@return cw.Err?
function db.outbox:targets_json() end

---Everything that was given up for a target is due again. Waits.
---@param args { target: string }
---@return integer?
---@return cw.Err?
function db.outbox:retry(args) end

---One more delivery to make. Waits.
---@param args { target: string, anomaly_id?: integer, payload?: any, kind?: "new"|"updated"|"retracted"|"reborn"|"label_withdrawn", event_of?: integer }
---@return table?
---@return cw.Err?
function db.outbox:create(args) end

---One more delivery to make. Waits.
---@param args { target: string, anomaly_id?: integer, payload?: any, kind?: "new"|"updated"|"retracted"|"reborn"|"label_withdrawn", event_of?: integer }
---@return string?
---@return cw.Err?
function db.outbox:create_json(args) end

---It has arrived. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.outbox:delivered(args) end

---It has arrived. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.outbox:delivered_json(args) end

---It has not arrived; tried again at `retry_at`, or given up. Waits.
---@param args { id: integer, error: string, retry_at?: string|number }
---@return table?
---@return cw.Err?
function db.outbox:failed(args) end

---It has not arrived; tried again at `retry_at`, or given up. Waits.
---@param args { id: integer, error: string, retry_at?: string|number }
---@return string?
---@return cw.Err?
function db.outbox:failed_json(args) end

---Tries at once one that was given up or waits for its next attempt. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.outbox:again(args) end

---Tries at once one that was given up or waits for its next attempt. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.outbox:again_json(args) end

db.cursors = {}

---How far each source has been read. Waits.
---@return table[]?
---@return cw.Err?
function db.cursors:list() end

---How far each source has been read. Waits.
---@return string?
---@return cw.Err?
function db.cursors:list_json() end

---How far one source has been read. Waits.
---@param args { name: string }
---@return table?
---@return cw.Err?
function db.cursors:get(args) end

---How far one source has been read. Waits.
---@param args { name: string }
---@return string?
---@return cw.Err?
function db.cursors:get_json(args) end

---Moves a source's position, in the transaction of its rows. Waits.
---@param args { name: string, position: any }
---@return table?
---@return cw.Err?
function db.cursors:put(args) end

---Moves a source's position, in the transaction of its rows. Waits.
---@param args { name: string, position: any }
---@return string?
---@return cw.Err?
function db.cursors:put_json(args) end

---Forgets a source's position: it is read from its beginning. Waits.
---@param args { name: string }
---@return integer?
---@return cw.Err?
function db.cursors:delete(args) end

db.suppressions = {}

---Suppressions, newest first; over or not. Waits.
---@param args { active?: boolean, rule?: string, address?: string, list?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.suppressions:list(args) end

---Suppressions, newest first; over or not. Waits.
---@param args { active?: boolean, rule?: string, address?: string, list?: string, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.suppressions:list_json(args) end

---One suppression. Waits.
---@param args { id: integer }
---@return table?
---@return cw.Err?
function db.suppressions:get(args) end

---One suppression. Waits.
---@param args { id: integer }
---@return string?
---@return cw.Err?
function db.suppressions:get_json(args) end

---Hides alerts that match all that is given, until it expires. Rule, address or dedup key must be given. Waits.
---@param args { rule?: string, address?: string, dedup_key?: string, chain_id?: integer, reason: string, owner?: integer, expires_at: string|number }
---@return table?
---@return cw.Err?
function db.suppressions:create(args) end

---Hides alerts that match all that is given, until it expires. Rule, address or dedup key must be given. Waits.
---@param args { rule?: string, address?: string, dedup_key?: string, chain_id?: integer, reason: string, owner?: integer, expires_at: string|number }
---@return string?
---@return cw.Err?
function db.suppressions:create_json(args) end

---Ends a suppression now; one that has ended stays as it is. Not that of a list: that ends with its declaration. Waits.
---@param args { id: integer, ended_by?: integer }
---@return table?
---@return cw.Err?
function db.suppressions:finish(args) end

---Ends a suppression now; one that has ended stays as it is. Not that of a list: that ends with its declaration. Waits.
---@param args { id: integer, ended_by?: integer }
---@return string?
---@return cw.Err?
function db.suppressions:finish_json(args) end

---Anomalies behind one, oldest first, as the event stream tells them. Waits.
---@param args { after: integer, up_to: integer, rule?: string, limit?: integer }
---@return table[]?
---@return cw.Err?
function db.anomalies:after(args) end

---Anomalies behind one, oldest first, as the event stream tells them. Waits.
---@param args { after: integer, up_to: integer, rule?: string, limit?: integer }
---@return string?
---@return cw.Err?
function db.anomalies:after_json(args) end

db.rule_states = {}

---Rules that have ever been switched off or quarantined. Waits.
---@return table[]?
---@return cw.Err?
function db.rule_states:list() end

---Rules that have ever been switched off or quarantined. Waits.
---@return string?
---@return cw.Err?
function db.rule_states:list_json() end

---What is to become of a rule. A quarantine is of one version: give its sha256. Waits.
---@param args { rule: string, role: "live"|"candidate", status: "enabled"|"disabled"|"quarantined", reason?: string, faults?: integer, sha256?: string, changed_by?: integer }
---@return table?
---@return cw.Err?
function db.rule_states:set(args) end

---What is to become of a rule. A quarantine is of one version: give its sha256. Waits.
---@param args { rule: string, role: "live"|"candidate", status: "enabled"|"disabled"|"quarantined", reason?: string, faults?: integer, sha256?: string, changed_by?: integer }
---@return string?
---@return cw.Err?
function db.rule_states:set_json(args) end

db.rule_sources = {}

---Candidates that came in over HTTP, and promoted versions that no file has yet. Waits.
---@param args { rule?: string, role?: "candidate"|"promoted" }
---@return table[]?
---@return cw.Err?
function db.rule_sources:list(args) end

---Candidates that came in over HTTP, and promoted versions that no file has yet. Waits.
---@param args { rule?: string, role?: "candidate"|"promoted" }
---@return string?
---@return cw.Err?
function db.rule_sources:list_json(args) end

---The text of a rule, in place of the one that was there. Waits.
---@param args { rule: string, role: "candidate"|"promoted", sha256: string, source: string, replaces?: string, created_by?: integer }
---@return table?
---@return cw.Err?
function db.rule_sources:put(args) end

---The text of a rule, in place of the one that was there. Waits.
---@param args { rule: string, role: "candidate"|"promoted", sha256: string, source: string, replaces?: string, created_by?: integer }
---@return string?
---@return cw.Err?
function db.rule_sources:put_json(args) end

---Forgets a candidate or a promotion. Waits.
---@param args { rule: string, role: "candidate"|"promoted" }
---@return table?
---@return cw.Err?
function db.rule_sources:delete(args) end

---Forgets a candidate or a promotion. Waits.
---@param args { rule: string, role: "candidate"|"promoted" }
---@return string?
---@return cw.Err?
function db.rule_sources:delete_json(args) end

db.rule_alarms = {}

---Rules that fell silent or flooded, newest first. Waits.
---@param args { rule?: string, kind?: "silent"|"flood", open?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return cw.Page?
---@return cw.Err?
function db.rule_alarms:list(args) end

---Rules that fell silent or flooded, newest first. Waits.
---@param args { rule?: string, kind?: "silent"|"flood", open?: boolean, limit?: integer, cursor?: string, offset?: integer, order?: "asc"|"desc" }
---@return string?
---@return cw.Err?
function db.rule_alarms:list_json(args) end
