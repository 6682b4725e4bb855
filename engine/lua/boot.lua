-- boot.lua - the part of the scripts VM that is written in Lua: it joins the halves of waiting functions, reads
-- endpoint declarations, checks requests against them, and writes the OpenAPI document. Trusted; compiled in.
--
-- Gets the table of C functions, returns the functions that C calls: entry, endpoints, openapi; and `globals`, what
-- scripts see.
local C = ...
local json, req_raw, req_index = C.json, C.request.raw, C.request.index
local format, concat, sort, floor = string.format, table.concat, table.sort, math.floor
local type, pairs, ipairs, tostring, tonumber, error, setmetatable = type, pairs, ipairs, tostring, tonumber, error,
	setmetatable
local next, select, pcall, unpack = next, select, pcall, unpack

--- Joins the two halves of a C function that waits. `start` sends and yields, or answers at once with true, results.
local function waits(start, collect)
	return function(...)
		local now, a, b = start(...)
		if now then return a, b end
		return collect()
	end
end

-- --- replies ---------------------------------------------------------------------------------------------------

local RAW = json.raw

--- reply(status, value, headers): a JSON answer. `value` may be json.raw(text) from a repository.
local function reply(status, value, headers)
	return status, "application/json", json.encode(value), headers
end

--- reply_raw(status, text, headers): text that is JSON already.
local function reply_raw(status, text, headers)
	return status, "application/json", text, headers
end

--- reply_text(status, content_type, text, headers)
local function reply_text(status, content_type, text, headers)
	return status, content_type, text, headers
end

--- problem(err) or problem(status, code, detail, extra): an RFC 9457 problem document. `extra` may have title, errors
--- (a list of {pointer=, detail=}, or JSON text), retry_after (seconds).
local function problem(status, code, detail, extra)
	if type(status) == "table" then
		local err = status
		return err.status or 500, "problem", err.message or "",
			{ code = err.code or "internal", errors = err.errors, retry_after = err.retry_after, title = err.title,
				detail_hidden = (err.status or 500) == 500 or err.code == "system" }
	end
	local errors = extra and extra.errors
	if type(errors) == "table" then errors = json.encode(json.array(errors)) end
	return status, "problem", detail or "",
		{ code = code, errors = errors, retry_after = extra and extra.retry_after, title = extra and extra.title }
end

-- --- declarations ----------------------------------------------------------------------------------------------

local TYPES = { string = true, integer = true, number = true, boolean = true, time = true, address = true,
	hash = true, object = true, array = true }
local SPEC_KEYS = { type = true, required = true, default = true, min = true, max = true, enum = true,
	min_length = true, max_length = true, doc = true }
local ENDPOINT_KEYS = { method = true, path = true, auth = true, summary = true, description = true, params = true,
	body = true, responses = true, handler = true, tags = true, timeout_ms = true, body_limit = true }
local BODY_KEYS = { content = true, schema = true, raw = true, stream = true, fields = true, required = true }
local METHODS = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true }
local AUTH = { none = true, user = true, viewer = true, analyst = true, operator = true, admin = true, service = true }

local function check_keys(what, t, known)
	for k in pairs(t) do
		if not known[k] then error(format("%s: unknown key \"%s\"", what, tostring(k)), 0) end
	end
end

local checked = {}   -- a parameter may stand in several declarations

local function check_spec(what, name, spec)
	what = format("%s: parameter \"%s\"", what, name)
	if type(spec) ~= "table" then error(what .. " must be a table", 0) end
	if checked[spec] then return end
	check_keys(what, spec, SPEC_KEYS)
	if not TYPES[spec.type] then error(format("%s: unknown type \"%s\"", what, tostring(spec.type)), 0) end
	if spec.enum ~= nil then
		if type(spec.enum) ~= "table" or #spec.enum == 0 then error(what .. ": enum must be a list", 0) end
		spec.allowed = {}
		for _, v in ipairs(spec.enum) do spec.allowed[v] = true end
	end
	checked[spec] = true
end

local endpoints, loading = {}, nil
local db = {}        -- filled below

local function check_specs(what, specs)
	if specs == nil then return end
	if type(specs) ~= "table" then error(what .. ": must be a table of parameters", 0) end
	for name, spec in pairs(specs) do check_spec(what, tostring(name), spec) end
end

local function check_body(what, body)
	if body == nil then return end
	if type(body) ~= "table" then error(what .. ": body must be a table", 0) end
	check_keys(what .. ": body", body, BODY_KEYS)
	check_specs(what .. ": body", body.fields)
end

--- endpoint { method=, path=, auth=, summary=, params=, body=, responses=, handler= }
local function endpoint(decl)
	if not loading then error("endpoint is only possible while a file is loaded", 2) end
	if type(decl) ~= "table" then error("endpoint takes a table", 2) end
	local what = format("endpoint %s %s", tostring(decl.method), tostring(decl.path))
	check_keys(what, decl, ENDPOINT_KEYS)
	if not METHODS[decl.method] then error(what .. ": method must be GET, POST, PUT, PATCH or DELETE", 2) end
	if type(decl.path) ~= "string" then error(what .. ": path must be a string", 2) end
	if not AUTH[decl.auth] then
		error(what .. ": auth must be none, user, viewer, analyst, operator, admin or service", 2)
	end
	if type(decl.summary) ~= "string" then error(what .. ": summary must be a string", 2) end
	if type(decl.responses) ~= "table" then error(what .. ": responses must be a table", 2) end
	if type(decl.handler) ~= "function" then error(what .. ": handler must be a function", 2) end
	for _, key in ipairs { "timeout_ms", "body_limit" } do
		local v = decl[key]
		if v ~= nil and not (type(v) == "number" and v >= 1 and v <= 2 ^ 53) then
			error(format("%s: %s must be a number from 1 to 2^53", what, key), 2)
		end
	end
	check_specs(what, decl.params)
	check_body(what, decl.body)
	decl.plain = decl.params == nil and not decl.path:find("{", 1, true)
		and (decl.method == "GET" or decl.body ~= nil and not decl.body.fields
			and not (decl.body.raw and decl.body.content))
	decl.file = loading
	endpoints[#endpoints + 1] = decl
	return decl
end

-- --- checking a request ----------------------------------------------------------------------------------------

-- Each takes the declaration, the value, and whether it came as text (query and path) and not with a type of its own.
local CHECKS = {
	string = function(spec, v)
		if type(v) ~= "string" then return nil, "must be a string" end
		if #v > (spec.max_length or 1024) then
			return nil, format("must have at most %d bytes", spec.max_length or 1024)
		end
		if spec.min_length and #v < spec.min_length then
			return nil, v == "" and "must not be empty" or format("must have at least %d bytes", spec.min_length)
		end
		return v
	end,
	boolean = function(_, v, text)
		if v == true or text and (v == "true" or v == "1") then return true end
		if v == false or text and (v == "false" or v == "0") then return false end
		return nil, "must be true or false"
	end,
	number = function(_, v, text)
		local n = type(v) == "number" and v
			or text and type(v) == "string" and v:find("^%-?%d+%.?%d*$") and tonumber(v)
		if not n then return nil, "must be a number" end
		return n
	end,
	integer = function(_, v, text)
		local n = type(v) == "number" and v
			or text and type(v) == "string" and v:find("^%-?%d+$") and #v < 17 and tonumber(v)
		if not n or n ~= floor(n) then return nil, "must be a whole number" end
		return n
	end,
	time = function(_, v)
		local t = (type(v) == "string" or type(v) == "number") and C.engine.parse_time(v)
		if not t then return nil, "must be a time: RFC 3339 (2026-01-31T12:00:00Z) or unix seconds" end
		return t
	end,
	address = function(_, v)
		local a = type(v) == "string" and C.engine.parse_address(v)
		if not a then return nil, "must be an address: 0x and 40 hex digits (a mixed-case one with a right checksum)" end
		return a
	end,
	hash = function(_, v)
		if type(v) ~= "string" or not v:find("^0[xX]%x+$") or #v ~= 66 then
			return nil, "must be a hash: 0x and 64 hex digits"
		end
		return v:lower()
	end,
	object = function(_, v)
		if type(v) ~= "table" or C.engine.is_array(v) then return nil, "must be an object" end
		return v
	end,
	array = function(_, v) if not C.engine.is_array(v) then return nil, "must be an array" end return v end,
}

local function range_fault(spec, v)
	if type(v) ~= "number" then return nil end
	if spec.min and v < spec.min and spec.max then return format("must be between %s and %s", spec.min, spec.max) end
	if spec.max and v > spec.max and spec.min then return format("must be between %s and %s", spec.min, spec.max) end
	if spec.min and v < spec.min then return format("must be at least %s", spec.min) end
	if spec.max and v > spec.max then return format("must be at most %s", spec.max) end
end

local function check_value(spec, v, text)
	if spec.allowed then
		if spec.allowed[v] then return v end
		local names = {}
		for i, e in ipairs(spec.enum) do names[i] = tostring(e) end
		return nil, "must be one of " .. concat(names, ", ")
	end
	local value, fault = CHECKS[spec.type](spec, v, text)
	if fault == nil and value ~= nil then fault = range_fault(spec, value) end
	if fault then return nil, fault end
	return value
end

local function nearest(name, specs)
	local names = {}
	for k in pairs(specs) do names[#names + 1] = k end
	return C.engine.suggest(name, names)
end

--- Checks a table of raw values (all of them text, or out of JSON) against specs. Returns values, or nil and faults.
local function check_values(specs, raw, prefix, text)
	local values, faults = {}, nil
	for name, spec in pairs(specs) do
		local v = raw[name]
		if v == nil or v == json.null then
			if spec.required then
				faults = faults or {}
				faults[#faults + 1] = { pointer = prefix .. name, detail = "is required" }
			else
				values[name] = spec.default
			end
		else
			local value, fault = check_value(spec, v, text)
			if fault then
				faults = faults or {}
				faults[#faults + 1] = { pointer = prefix .. name, detail = fault }
			else
				values[name] = value
			end
		end
	end
	for name in pairs(raw) do
		if not specs[name] then
			local near = nearest(name, specs)
			faults = faults or {}
			faults[#faults + 1] = { pointer = prefix .. name,
				detail = near and format("is not known, did you mean \"%s\"?", near) or "is not known" }
		end
	end
	if faults then
		sort(faults, function(a, b) return a.pointer < b.pointer end)
		return nil, faults
	end
	return values
end

local function say(faults)
	local parts = {}
	for i, f in ipairs(faults) do parts[i] = f.pointer .. " " .. f.detail end
	return concat(parts, "; ")
end

local function path_specs(path, params)
	local specs = {}
	for name, spec in pairs(params or {}) do specs[name] = spec end
	for name in path:gmatch("{([%w_]+)}") do specs[name] = specs[name] or { type = "string", required = true } end
	return specs
end

local function read_params(ep, req)
	local raw, message = req_raw()
	if not raw then return problem(400, "query_malformed", message) end
	ep.specs = ep.specs or path_specs(ep.path, ep.params)
	local values, faults = check_values(ep.specs, raw, "", true)
	if not values then return problem(400, "parameter_invalid", say(faults), { errors = faults }) end
	req.params = values
end

local function read_body(ep, req)
	local text = req.body
	local kind = req:header("Content-Type")
	if text ~= "" and kind and not C.engine.media_json(kind) then
		return problem(415, "media_type", "the body must be application/json")
	end
	if text == "" and ep.body.required == false then
		text = "{}"
	end
	local value, status, code, detail = C.engine.read_body(text)
	if status then return problem(status, code, detail) end
	if type(value) ~= "table" or C.engine.is_array(value) then
		return problem(422, "body_invalid", "the body must be a JSON object")
	end
	local values, faults = check_values(ep.body.fields, value, "/")
	if not values then return problem(422, "body_invalid", say(faults), { errors = faults }) end
	req.data = values
end

--- Where nothing is declared nothing is taken: what a client sends, and expects to count, is not dropped silently.
local NOTHING = { body = { required = false, fields = {} } }

--- Text is taken as one of the types that are declared, or as what tools send when nothing is said.
local UNNAMED = { ["application/x-www-form-urlencoded"] = true, ["application/octet-stream"] = true }

local function check_text(ep, req)
	local kind = req:header("Content-Type")
	kind = kind and kind:lower():match("^[^;%s]*") or ""
	if kind == "" or UNNAMED[kind] then return nil end
	for _, taken in ipairs(ep.body.content) do
		if kind == taken then return nil end
	end
	return problem(415, "media_type", "the body must be " .. concat(ep.body.content, " or "))
end

local REQUEST = { __index = req_index, __metatable = false }

--- What a job runs: checks, then the handler. Returns what reply or problem returned.
local function entry(ep)
	local req = setmetatable({}, REQUEST)
	if ep.plain then return ep.handler(req) end
	local status, kind, body, more = read_params(ep, req)
	if status then return status, kind, body, more end
	if ep.body and ep.body.fields then
		status, kind, body, more = read_body(ep, req)
	elseif ep.body and ep.body.raw and ep.body.content then
		status, kind, body, more = check_text(ep, req)
	elseif not ep.body and ep.method ~= "GET" then
		status, kind, body, more = read_body(NOTHING, req)
	end
	if status then return status, kind, body, more end
	return ep.handler(req)
end

-- --- database transactions --------------------------------------------------------------------------------------

local begin = waits(C.transaction.start, C.transaction.collect)
local finish = waits(C.transaction.finish, C.transaction.collect)
local TRANSACTION_KEYS = { isolation = true, read_only = true, timeout_ms = true, retries = true }
local ISOLATION = { ["read committed"] = true, ["repeatable read"] = true, ["serializable"] = true }

local function check_transaction(options, fn)
	if type(fn) ~= "function" or type(options) ~= "table" then
		error("db.transaction takes a function, or a table of options and a function", 3)
	end
	for k in pairs(options) do
		if not TRANSACTION_KEYS[k] then
			local near = C.engine.suggest(tostring(k), { "isolation", "read_only", "timeout_ms", "retries" })
			error(format("db.transaction: unknown option \"%s\"%s", tostring(k),
				near and format(", did you mean \"%s\"?", near) or ""), 3)
		end
	end
	if options.isolation ~= nil and not ISOLATION[options.isolation] then
		error("db.transaction: isolation must be \"read committed\", \"repeatable read\" or \"serializable\"", 3)
	end
	for key, most in pairs { timeout_ms = 600000, retries = 10 } do
		local v = options[key]
		if v ~= nil and not (type(v) == "number" and v == floor(v) and v >= (key == "retries" and 0 or 1) and v <= most) then
			error(format("db.transaction: %s must be a whole number up to %d", key, most), 3)
		end
	end
	if C.transaction.depth() > 0 and next(options) ~= nil then
		error("db.transaction: one inside another is a savepoint and takes no options", 3)
	end
end

local function pack(...)
	return { n = select("#", ...), ... }
end

--- db.transaction(function() ... end) or db.transaction({isolation=, read_only=, timeout_ms=, retries=}, function):
--- every db.* call of the function in one database transaction. Commits and returns what the function returned (true if
--- that was nothing); rolls back when it raises (and raises on) or returns nil and an error (and returns them). Done
--- again up to `retries` times (3) after a serialization failure, a deadlock, or a connection lost before the commit.
local function transaction(options, fn)
	if fn == nil then options, fn = {}, options end
	check_transaction(options, fn)
	local nested, pause = C.transaction.depth() > 0, 0
	local left = nested and 0 or options.retries or 3
	while true do
		local ok, err = begin(options.isolation or "read committed", options.read_only or false,
			options.timeout_ms or 30000, pause)
		if not ok then return nil, err end
		local r = pack(pcall(fn))
		local keep = r[1] and not (r[2] == nil and r[3] ~= nil)
		ok, err = finish(keep)
		if not ok and err.again and left > 0 then
			left, pause = left - 1, pause == 0 and 20 or pause * 3
		elseif not r[1] then
			error(r[2], 0)
		elseif not keep then
			return nil, r[3]
		elseif not ok then
			return nil, err
		elseif r.n == 1 then
			return true
		else
			return unpack(r, 2, r.n)
		end
	end
end

-- --- jobs ------------------------------------------------------------------------------------------------------

local JOB_KEYS = { name = true, summary = true, every = true, at = true, on = true, jitter = true, timeout = true,
	run = true }
local UNITS = { s = 1, m = 60, h = 3600, d = 86400, w = 604800, y = 31536000 }
local WEEKDAYS = { sun = 1, mon = 2, tue = 4, wed = 8, thu = 16, fri = 32, sat = 64 }
local JOBS_MAX = 64
local jobs = {}

--- "90s", "5m", "1h30m", "7d" -> seconds; nil if it is none.
local function seconds(text)
	if type(text) ~= "string" or text == "" then return nil end
	local sum, rest = 0, text:gsub("%d+[smhdwy]", "")
	if rest ~= "" then return nil end
	for n, unit in text:gmatch("(%d+)([smhdwy])") do sum = sum + tonumber(n) * UNITS[unit] end
	return sum
end

local function job_seconds(what, decl, key, least, most, default)
	if decl[key] == nil then return default end
	local n = seconds(decl[key])
	if not n or n < least or n > most then
		error(format("%s: %s must be a time like \"5m\", from %ds to %ds", what, key, least, most), 3)
	end
	return n
end

local function job_days(what, on)
	local mask = 0
	if on == nil then return 0 end
	for _, day in ipairs(type(on) == "table" and on or { on }) do
		if not WEEKDAYS[day] then error(what .. ": on must be sun, mon, tue, wed, thu, fri or sat, or a list of them", 3) end
		mask = mask + (floor(mask / WEEKDAYS[day]) % 2 == 0 and WEEKDAYS[day] or 0)
	end
	return mask
end

--- job { name=, summary=, every="5m" | at="02:30" [, on={"sun"}], jitter=, timeout=, run=function(ctx) ... end }: times are
--- UTC. What run returns is kept as the run's detail; nil and an error make it a failed one.
local function job(decl)
	if not loading or not loading:find("^jobs/") then error("job is only possible while a file of jobs/ is loaded", 2) end
	if type(decl) ~= "table" then error("job takes a table", 2) end
	local what = format("job \"%s\"", tostring(decl.name))
	check_keys(what, decl, JOB_KEYS)
	if type(decl.name) ~= "string" or not decl.name:find("^[%l%d_]+$") or #decl.name > 60 then
		error("job: name must be of small letters, digits and _", 2)
	end
	for _, other in ipairs(jobs) do
		if other.name == decl.name then error(what .. ": there is one of that name in " .. other.file, 2) end
	end
	if #jobs >= JOBS_MAX then error(format("%s: more than %d jobs", what, JOBS_MAX), 2) end
	if type(decl.summary) ~= "string" then error(what .. ": summary must be a string", 2) end
	if type(decl.run) ~= "function" then error(what .. ": run must be a function", 2) end
	if (decl.every == nil) == (decl.at == nil) then error(what .. ": needs every or at", 2) end
	if decl.on ~= nil and decl.at == nil then error(what .. ": on goes with at", 2) end
	decl.every_s, decl.offset_s = job_seconds(what, decl, "every", 1, 31536000, 86400), 0
	if decl.at ~= nil then
		local h, m = tostring(decl.at):match("^(%d%d):(%d%d)$")
		if not h or tonumber(h) > 23 or tonumber(m) > 59 then error(what .. ": at must be a time of day like \"02:30\"", 2) end
		decl.offset_s = h * 3600 + m * 60
	end
	decl.weekdays = job_days(what, decl.on)
	decl.jitter_s = job_seconds(what, decl, "jitter", 0, floor(decl.every_s / 2), 0)
	decl.timeout_s = job_seconds(what, decl, "timeout", 1, 86400, 600)
	decl.file = loading
	jobs[#jobs + 1] = decl
	return decl
end

local function call_job(decl, run, slot, worker)
	local ctx = { run = run.id, slot = slot, by_hand = slot == nil, worker = worker }
	function ctx.progress(detail) return db.job_runs:progress { id = run.id, detail = detail } end
	local ok, detail, err = pcall(decl.run, ctx)
	if not ok then return nil, type(detail) == "table" and detail.message or tostring(detail) end
	if detail == nil and err ~= nil then return nil, type(err) == "table" and err.message or tostring(err) end
	return type(detail) == "table" and detail or {}
end

--- What a job's coroutine runs: takes the slot, or leaves it to the engine that has it.
local function run_job(decl, slot, claimed, worker)
	local run, err = { id = claimed }, nil
	if not claimed then
		run, err = db.job_runs:claim { name = decl.name, slot = slot, worker = worker }
		if not run then
			if err.code ~= "not_found" then
				C.engine.log.warn("job could not begin", { job = decl.name, error = err.message })
			end
			return
		end
	end
	local began = C.engine.now()
	local detail, why = call_job(decl, run, slot and tonumber(slot), worker)
	local took = format("%.3f", C.engine.now() - began)
	if detail then
		C.engine.log.debug("job done", { job = decl.name, run = run.id, seconds = took })
	else
		C.engine.log.warn("job failed", { job = decl.name, run = run.id, seconds = took, error = why })
	end
	db.job_runs:finish { id = run.id, status = detail and "succeeded" or "failed", detail = detail, error = why }
end

--- jobs.start(name) -> run | nil, err: runs a job now, beside its schedule. Does not wait for its end.
local function start_job(name)
	local known = false
	for _, decl in ipairs(jobs) do known = known or decl.name == name end
	if not known then
		return nil, { status = 404, code = "not_found", message = format("there is no job \"%s\"", tostring(name)) }
	end
	local run, err = db.job_runs:claim { name = name, worker = C.jobs.worker() }
	if not run and err.code == "not_found" then
		return nil, { status = 409, code = "conflict", message = format("job \"%s\" is running", name) }
	end
	if not run then return nil, err end
	if not C.jobs.run(name, run.id) then
		db.job_runs:finish { id = run.id, status = "failed", error = "this engine could not start it" }
		return nil, { status = 409, code = "conflict", message = format("job \"%s\" is running", name) }
	end
	return run
end

local retention = C.load_retention {
	loading = function() return loading end, seconds = seconds, db = db, json = json, now = C.engine.now,
	sleep = waits(C.jobs.sleep, C.jobs.slept), format_time = C.engine.format_time, suggest = C.engine.suggest,
	call = waits(C.engine.call_start, C.engine.call_collect), log = C.engine.log,
}

-- --- OpenAPI ---------------------------------------------------------------------------------------------------

local SCHEMA_OF = {
	string = { type = "string" }, integer = { type = "integer" }, number = { type = "number" },
	boolean = { type = "boolean" }, time = { type = "string", format = "date-time" },
	address = { type = "string", pattern = "^0x[0-9a-fA-F]{40}$" },
	hash = { type = "string", pattern = "^0x[0-9a-fA-F]{64}$" },
	object = { type = "object" }, array = { type = "array", items = {} },
}

local function schema_of(spec)
	local s = {}
	for k, v in pairs(SCHEMA_OF[spec.type]) do s[k] = v end
	if spec.enum then s.enum = json.array(spec.enum) end
	if spec.min then s.minimum = spec.min end
	if spec.max then s.maximum = spec.max end
	s.minLength, s.maxLength = spec.min_length, spec.max_length
	if spec.default ~= nil then s.default = spec.default end
	return s
end

local function sorted(t)
	local keys = {}
	for k in pairs(t) do keys[#keys + 1] = k end
	sort(keys, function(a, b) return tostring(a) < tostring(b) end)
	return keys
end

local function parameters_of(ep)
	local list, specs = json.array {}, path_specs(ep.path, ep.params)
	for _, name in ipairs(sorted(specs)) do
		local in_path = ep.path:find("{" .. name .. "}", 1, true) ~= nil
		list[#list + 1] = { name = name, ["in"] = in_path and "path" or "query",
			required = in_path or specs[name].required or false, description = specs[name].doc,
			schema = schema_of(specs[name]) }
	end
	return list
end

local function body_of(ep)
	local schema = ep.body.schema
	if not schema and ep.body.fields then
		local required = json.array {}
		schema = { type = "object", properties = {}, additionalProperties = false }
		for _, name in ipairs(sorted(ep.body.fields)) do
			schema.properties[name] = schema_of(ep.body.fields[name])
			schema.properties[name].description = ep.body.fields[name].doc
			if ep.body.fields[name].required then required[#required + 1] = name end
		end
		if #required > 0 then schema.required = required end
	end
	local content = {}
	for _, kind in ipairs(ep.body.content or { "application/json" }) do content[kind] = { schema = schema or {} } end
	return { required = ep.body.required ~= false, content = content }
end

local PROBLEM_REF = { ["application/problem+json"] = { schema = { ["$ref"] = "#/components/schemas/Problem" } } }

local function responses_of(ep)
	local out = {}
	for status, r in pairs(ep.responses) do
		if type(r) == "string" then r = { description = r } end
		local answer = { description = r.description or "" }
		if tonumber(status) and tonumber(status) >= 400 then
			answer.content = PROBLEM_REF
		elseif r.schema or r.content then
			answer.content = { [r.content or "application/json"] = { schema = r.schema or {} } }
		end
		out[tostring(status)] = answer
	end
	if ep.auth ~= "none" then
		out["401"] = out["401"] or { description = "no valid API key", content = PROBLEM_REF }
		out["403"] = out["403"] or { description = "the key's roles do not allow it", content = PROBLEM_REF }
	end
	return out
end

local function operation_of(ep)
	local op = { summary = ep.summary, description = ep.description, responses = responses_of(ep),
		operationId = (ep.method:lower() .. ep.path):gsub("[^%w]+", "_"):gsub("_+$", ""),
		tags = json.array(ep.tags or { (ep.file:gsub("^.*/", ""):gsub("%.lua$", "")) }) }
	local parameters = parameters_of(ep)
	if #parameters > 0 then op.parameters = parameters end
	if ep.body then op.requestBody = body_of(ep) end
	if ep.auth ~= "none" then
		op.security = json.array { { bearer = json.array {} }, { apiKey = json.array {} } }
		op["x-role"] = ep.auth
	else
		op.security = json.array {}
	end
	return op
end

local PROBLEM = {
	type = "object", required = json.array { "type", "title", "status", "code" },
	properties = {
		type = { type = "string" }, title = { type = "string" }, status = { type = "integer" },
		code = { type = "string", description = "stable, for programs" }, detail = { type = "string" },
		request_id = { type = "string" },
		errors = { type = "array", items = { type = "object",
			properties = { pointer = { type = "string" }, detail = { type = "string" } } } },
	},
}

--- The OpenAPI 3.1 document as JSON text.
local function openapi()
	local paths = {}
	for _, ep in ipairs(endpoints) do
		paths[ep.path] = paths[ep.path] or {}
		paths[ep.path][ep.method:lower()] = operation_of(ep)
	end
	return json.encode {
		openapi = "3.1.0",
		info = { title = "chainwatch", version = C.engine.version,
			description = "Anomaly detection for EVM chains: transactions in, explained anomalies out.",
			license = { name = "Apache-2.0", identifier = "Apache-2.0" } },
		servers = json.array { { url = "/" } },
		paths = paths,
		components = {
			schemas = { Problem = PROBLEM },
			securitySchemes = {
				bearer = { type = "http", scheme = "bearer" },
				apiKey = { type = "apiKey", ["in"] = "header", name = "X-API-Key" },
			},
		},
	}
end

-- --- what scripts see ------------------------------------------------------------------------------------------

local globals = {
	endpoint = endpoint, reply = reply, reply_raw = reply_raw, reply_text = reply_text, problem = problem,
	json = { encode = json.encode, decode = json.decode, array = json.array, raw = RAW, null = json.null },
	log = C.engine.log,
	time = { now = C.engine.now, format = C.engine.format_time, parse = C.engine.parse_time, seconds = seconds,
		--- time.sleep(seconds). Waits.
		sleep = waits(C.jobs.sleep, C.jobs.slept) },
	http = {
		--- http.request { url=, ... } -> answer | nil, err; http.requests { request, ... } -> answers; http.mail { ... }
		request = waits(C.http.request, C.http.collect), requests = waits(C.http.requests, C.http.collect),
		mail = waits(C.http.mail, C.http.mailed),
		--- A sender has many messages under way: http.begin(sender, tag, request), http.finished(sender, seconds) -> what is done.
		sender = C.http.sender, begin = C.http.begin, begin_mail = C.http.begin_mail,
		finished = waits(C.http.wait, C.http.waited),
	},
	--- labels.read(text, { ... }) -> rows, report | nil, what is wrong. Waits.
	labels = { read = waits(C.labels.read, C.labels.collect) },
	crypto = { hmac_sha256 = C.crypto.hmac_sha256, sha256 = C.crypto.sha256, base64 = C.crypto.base64,
		unbase64 = C.crypto.unbase64 },
	job = job, retention = retention.declare,
	jobs = { list = C.jobs.list, start = start_job, plan_retention = retention.plan, run_retention = retention.run },
	predict = {
		--- predict.transaction() -> JSON text | nil, err: judges the transaction in the request's body. Waits.
		transaction = waits(C.predict.start, C.predict.collect),
		--- predict.batch(): answers the request itself: {"transactions": [...]} or NDJSON.
		batch = C.predict.batch,
	},
	engine = {
		version = C.engine.version, settings = C.engine.settings, health = C.engine.health,
		rule_fires = C.engine.rule_fires,
		metrics = C.engine.metrics, ruleset = C.engine.ruleset, rule = C.engine.rule,
		may_switch_rule = C.engine.may_switch_rule, switch_rule = C.engine.switch_rule,
		openapi = function() return C.engine.openapi() end,
		--- engine.call(name, args) -> value | nil, err: an operation of the engine. Waits.
		call = waits(C.engine.call_start, C.engine.call_collect),
	},
	auth = {
		--- auth.login(email, password) -> user | nil, err; user.rehash is a hash to be stored in place of the old one.
		login = waits(C.auth.login, C.auth.collect), verify = waits(C.auth.verify, C.auth.collect),
		hash = waits(C.auth.hash, C.auth.collect), refresh = waits(C.auth.refresh, C.auth.collect),
		fault = C.auth.fault, issue = C.auth.issue, new_key = C.auth.new_key, new_token = C.auth.new_token,
		digest = C.auth.digest, allow = C.auth.allow, settings = C.auth.settings,
		account = C.auth.account, claims = C.auth.claims,
	},
	anomalies = { stream = C.engine.stream_anomalies, newest = C.engine.newest_anomaly },
	db = db,
}
for repository, functions in pairs(C.db) do
	local t = {}
	for name, start in pairs(functions) do t[name] = waits(start, C.db_collect) end
	globals.db[repository] = t
end
globals.db.transaction = transaction

--- db.audit_logs:append { event_type=, resource=, action=, status=, details=, severity= } -> {id=, seq=} | nil, err:
--- user, key, address, user agent and request id are those of the running request. `details` is a table. Together with
--- the act, in one db.transaction, it is written with it or not at all.
local append = globals.db.audit_logs.append
function globals.db.audit_logs.append(self, what)
	local args = C.request.actor() or {}
	for k, v in pairs(what) do args[k] = v end
	if type(args.details) == "table" then args.details = json.encode(args.details) end
	return append(self, args)
end

return {
	globals = globals, entry = entry, openapi = openapi,
	begin_file = function(name) loading = name end,
	declared_jobs = function() return jobs end, run_job = run_job,
	end_load = function() loading = nil return endpoints end,
}
