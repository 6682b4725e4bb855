---@meta
-- What endpoints, jobs and policies see. For editors (lua-language-server); never loaded.
-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.

db = {}

---declares a route, while a file is loaded; checks, errors and OpenAPI come from the declaration
---@param declaration cw.Endpoint
---@return cw.Endpoint
function endpoint(declaration) end

---@class cw.Endpoint
---@field method "GET"|"POST"|"PUT"|"PATCH"|"DELETE"
---@field path string # "/api/v1/things/{id}"
---@field auth "none"|"viewer"|"analyst"|"operator"|"admin"|"service" # least role that may call it
---@field summary string # one line
---@field description string? # more, for the OpenAPI document
---@field params table<string, cw.Param>? # query and path parameters; anything else is refused
---@field body table? # { fields = { name = cw.Param }, required = true }: a JSON object, checked; { stream = true }: the handler reads it
---@field responses table<integer, string|table> # status to what it means
---@field handler fun(req: cw.Request): ... # ends with return reply(...) or problem(...)
---@field tags string[]? # groups of the OpenAPI document; the file's name if left out
---@field timeout_ms integer? # time for the answer
---@field body_limit integer? # bytes of the body

---@class cw.Param
---@field type "string"|"integer"|"number"|"boolean"|"time"|"address"|"hash"|"object"|"array" # time: RFC 3339 or seconds, arrives as seconds; address: arrives in lower case
---@field required boolean?
---@field default any
---@field min number?
---@field max number?
---@field enum any[]?
---@field min_length integer? # bytes
---@field max_length integer? # bytes, 1024 if left out
---@field doc string? # for the OpenAPI document

---@class cw.Request
---@field method string
---@field path string # without the query
---@field id string # X-Request-Id, the client's or made
---@field remote string # address of the client
---@field body string # the body as it came
---@field json any # the body as a value; what is not JSON ends the request with 400 or 422
---@field params table<string, any> # query and path parameters, checked
---@field data table<string, any> # fields of the body, checked, where the endpoint declares them
---@field user { id: integer, roles: string[] }? # who asks; nil where auth is "none"
---@field header fun(self: cw.Request, name: string): string? # a header, case of the name ignored

---a JSON answer
---@param status integer
---@param value any
---@param headers? table<string, string>
---@return ...
function reply(status, value, headers) end

---an answer that is JSON text already, as from db.*:*_json
---@param status integer
---@param json_text string
---@param headers? table<string, string>
---@return ...
function reply_raw(status, json_text, headers) end

---an answer of another type
---@param status integer
---@param content_type string
---@param text string
---@param headers? table<string, string>
---@return ...
function reply_text(status, content_type, text, headers) end

---an RFC 9457 problem document; of an err, or of status, code, detail and { title=, errors=, retry_after= }
---@param status integer|cw.Err
---@param code? string
---@param detail? string
---@param extra? table
---@return ...
function problem(status, code, detail, extra) end

---@class cw.Err
---@field code string # "not_found", "invalid", "conflict", "busy", "timeout", ...
---@field status integer # the HTTP status that fits
---@field message string # what was tried and why it failed

json = {}

---tables with #t > 0 or marked by json.array are arrays, others objects; exact to 17 digits
---@param value any
---@return string
function json.encode(value) end

---strict (RFC 8259); integers beyond 2^53 arrive as text; nil and a message otherwise
---@param text string
---@return any, string?
function json.decode(text) end

---marks a table as an array, so that an empty one is []
---@param t table
---@return table
function json.array(t) end

---JSON text that encode puts in as it is
---@param text string
---@return any
function json.raw(text) end

---null in objects and arrays
---@type any
json.null = nil

log = {}

---@param message string
---@param fields? table<string, any>
function log.debug(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.info(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.warn(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.error(message, fields) end

time = {}

---seconds since 1970, with fractions
---@return number
function time.now() end

---RFC 3339, UTC
---@param seconds number
---@return string
function time.format(seconds) end

---"90s", "5m", "1h30m", "7d" in seconds; nil if it is none
---@param text string
---@return number?
function time.seconds(text) end

---up to an hour. Waits
---@param seconds number
function time.sleep(seconds) end

---RFC 3339 or digits; nil if it is neither
---@param text string
---@return number?
function time.parse(text) end

db = {}

---db.transaction([{ isolation=, read_only=, timeout_ms=, retries= },] fn): all of fn's operations commit together, or none; gives what fn returns, or nil, err. Inside another it is a savepoint. Waits
---@param options table|function
---@param fn? function
---@return ...
function db.transaction(options, fn) end

http = {}

---one call to the outside. Waits
---@param request cw.HttpRequest
---@return cw.HttpAnswer?, cw.Err?
function http.request(request) end

---up to 64 at the same time; answers in their order, { error = err } where one failed. Waits
---@param requests cw.HttpRequest[]
---@return table[]
function http.requests(requests) end

---{ url = "smtp://...", user=, password=, from=, to={}, subject=, text=, timeout_ms= } by SMTP. Waits
---@param message table
---@return boolean?, cw.Err?
function http.mail(message) end

---for messages that go out side by side; those under way end with it
---@return userdata
function http.sender() end

---sends and goes on; up to 1024 under way
---@param sender userdata
---@param tag string
---@param request cw.HttpRequest
function http.begin(sender, tag, request) end

---the same for a mail, as http.mail takes it
---@param sender userdata
---@param tag string
---@param message table
function http.begin_mail(sender, tag, message) end

---what is done, as answers with `tag`, { tag=, error= } where one failed: at once if something is, else the first within so many seconds, or nothing. Waits
---@param sender userdata
---@param seconds number
---@return table[]
function http.finished(sender, seconds) end

---@class cw.HttpRequest
---@field url string # http or https; redirects are not followed
---@field method string? # GET, or POST with a body
---@field headers table<string, string>?
---@field body string?
---@field timeout_ms number? # 10000
---@field max_bytes number? # of the answer, 1 MiB
---@field cut boolean? # only the status counts: a body that is too long, too slow or broken off is cut, no error
---@field allow_private boolean? # may resolve to a private, loopback or link-local address

---@class cw.HttpAnswer
---@field status integer # any: 404 is an answer, not an error
---@field body string
---@field content_type string
---@field retry_after number? # seconds
---@field took_ms number

crypto = {}

---32 bytes
---@param key string
---@param text string
---@return string
function crypto.hmac_sha256(key, text) end

---32 bytes
---@param text string
---@return string
function crypto.sha256(text) end

---RFC 4648, with padding
---@param bytes string
---@return string
function crypto.base64(bytes) end

---nil if it is none
---@param text string
---@return string?
function crypto.unbase64(text) end

labels = {}

---a list of labelled addresses: parts of its rows for db.labels:stage, from 1 on, and a report, as JSON text; nil and what is wrong. Waits
---@param text string
---@param options cw.LabelOptions
---@return (fun(part: integer): string?)?, string|cw.Err
function labels.read(text, options) end

---@class cw.LabelOptions
---@field file string? # for messages
---@field format string? # auto, csv, tagpack, ofac or plain
---@field category string? # where the text says none
---@field source string? # where the text says none
---@field confidence number? # where the text says none
---@field chain_id integer? # of all rows, whatever the text says
---@field skip_bad boolean? # leave bad rows out and report them

predict = {}

---judges the transaction in the request's body; the verdict as JSON text. Waits
---@return string?, cw.Err?
function predict.transaction() end

---takes the request over: {"transactions": [...]} or NDJSON; return what it returns
---@return any
function predict.batch() end

auth = {}

---the user, with `rehash` where a better hash is to be stored; a wrong password and an unknown user are one error. past: db.login_failures:get of the name. Waits
---@param email string
---@param password string
---@param past table?
---@return table?, cw.Err?
function auth.login(email, password, past) end

---the same for a user that is known. Waits
---@param user_id integer
---@param password string
---@param past table?
---@return table?, cw.Err?
function auth.verify(user_id, password, past) end

---Argon2id, for db.users. Waits
---@param password string
---@return string?, cw.Err?
function auth.hash(password) end

---what is wrong with a new password; nil: nothing
---@param password string
---@param email? string
---@return string?
function auth.fault(password, email) end

---an access token and its life in seconds
---@param user_id integer
---@param session_id integer
---@param token_epoch integer
---@return string, number
function auth.issue(user_id, session_id, token_epoch) end

---hashed_name of db.login_failures, of an e-mail address or a user's id
---@param name string|integer
---@return string
function auth.account(name) end

---{ user_id, session_id, jti, expires_at } of an access token that is ours and has not expired; nil otherwise
---@param token string
---@return table?
function auth.claims(token) end

---an API key, its prefix, its SHA-256 for db.api_keys
---@return string, string, string
function auth.new_key() end

---a random token of 44 characters behind the prefix, and its SHA-256
---@param prefix string
---@return string, string
function auth.new_token(prefix) end

---SHA-256 as 0x...
---@param text string
---@return string
function auth.digest(text) end

---what is committed by now decides who may enter. Waits
---@return boolean?, cw.Err?
function auth.refresh() end

---one from the bucket for logins of the request's address
---@return boolean?, cw.Err?
function auth.allow() end

---{ registration, session_s, forget_s } as they are now
---@return table
function auth.settings() end

anomalies = {}

---takes the request over: server-sent events behind last_id, of severity least (0 low to 3 critical) and above; the backlog (JSON texts, and `ids` beside them) comes first. nil: the gap is too old
---@param last_id integer
---@param least integer
---@param rule? string
---@param backlog? table
---@return any
function anomalies.stream(last_id, least, rule, backlog) end

---id of the newest event there was
---@return integer
function anomalies.newest() end

engine = {}

---@type string
engine.version = nil

---the settings that scripts may see
---@type table
engine.settings = nil

---does the database answer, do rules judge
---@return boolean, boolean
function engine.health() end

---Prometheus text
---@return string
function engine.metrics() end

---the live ruleset as JSON text
---@return string
function engine.ruleset() end

---what the live rules' own tests fire on, as JSON text
---@return string
function engine.rule_fires() end

---one rule of the ruleset as JSON text; the version on trial if `candidate`
---@param id string
---@param candidate? boolean
---@return string?, cw.Err?
function engine.rule(id, candidate) end

---{ version, sha256, status, faults } if it can be done: "enable", "disable", "quarantine" or "release"
---@param id string
---@param candidate boolean
---@param what string
---@return table?, cw.Err?
function engine.may_switch_rule(id, candidate, what) end

---does it, from the next batch on; that it stays so over a restart is db.rule_states:set
---@param id string
---@param candidate boolean
---@param what string
---@param reason? string
---@return boolean?, cw.Err?
function engine.switch_rule(id, candidate, what, reason) end

---what the live rules' own tests fire on, as JSON text
---@return string
function engine.rule_fires() end

---the OpenAPI document as JSON text
---@return string
function engine.openapi() end

---an operation of the engine, JSON text in and out: "reload", "lua" { world, text }, "rules.submit" { rule, source }, "rules.withdraw" { rule }, "rules.promote" { rule, force }, "rules.diff" { rule, since, limit }, "archive.put" { to, key, text }. Waits
---@param operation string
---@param args_json? string
---@return string?, cw.Err?
function engine.call(operation, args_json) end

---in scripts/jobs: job { name=, summary=, every="5m" | at="02:30" [, on={"sun"}], jitter=, timeout=, run=function(ctx) end }; times are UTC; once, however many engines there are. ctx: run, slot, by_hand, worker, progress(detail)
---@param decl table
---@return table
function job(decl) end

---in scripts/policy: retention { { name=, table=, where=, keep="90d", action="delete"|"anonymise"|"archive", to= }, slice = 1000 }
---@param policy table
function retention(policy) end

jobs = {}

---the jobs of this engine: name, summary, every, at, on, file, due
---@return table[]
function jobs.list() end

---runs a job now; gives its row of job_runs at once. Waits
---@param name string
---@return table?, cw.Err?
function jobs.start(name) end

---what the retention policy would do now, counted. Waits
---@return table?, cw.Err?
function jobs.plan_retention() end

---in a job: carries the retention policy out. Waits
---@param ctx table
---@return table?, string?
function jobs.run_retention(ctx) end
