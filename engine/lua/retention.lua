-- retention.lua - what scripts/policy/retention.lua declares, counted or carried out. Compiled in: the policy says what and
-- when, this says how: in bounded slices with rests between them, months at once, nothing that a legal hold names.
local E = ...
local db, json, seconds = E.db, E.json, E.seconds
local format, floor, type, pairs, ipairs, tostring, error = string.format, math.floor, type, pairs, ipairs, tostring, error

local TABLES = { transactions = true, anomalies = true, predictions = true, audit_logs = true, system_metrics = true,
	job_runs = true, outbox = true, users = true }
local MONTHS = { predictions = true, audit_logs = true, system_metrics = true }
local ACTIONS = { delete = true, anonymise = true, archive = true }
local WHERE = { severity = true, reviewed = true, shadow = true, false_positive = true, rule = true, orphaned = true,
	found = true, is_anomaly = true, metric = true, delivered = true }
local RULE_KEYS = { name = true, table = true, where = true, keep = true, action = true, to = true }
local KEEP_LEAST = 3600
local SLICE, SLICE_MAX = 1000, 10000
local TRIES = 60           -- to get a busy table for the instant that dropping a month takes

local policy
local objects = 0          -- archived by this VM: each gets a name of its own

local function names(t)
	local list = {}
	for k in pairs(t) do list[#list + 1] = k end
	table.sort(list)
	return list
end

local function check(what, known, t)
	for k in pairs(t) do
		if type(k) ~= "number" and not known[k] then
			local near = E.suggest(tostring(k), names(known))
			error(format("%s: unknown key \"%s\"%s", what, tostring(k), near and format(", did you mean \"%s\"?", near) or ""), 4)
		end
	end
end

local function check_rule(i, rule)
	local what = format("retention rule %d", i)
	if type(rule) ~= "table" then error(what .. " must be a table", 3) end
	if type(rule.name) == "string" then what = format("retention rule \"%s\"", rule.name) end
	check(what, RULE_KEYS, rule)
	if type(rule.name) ~= "string" then error(what .. ": needs a name", 3) end
	if not TABLES[rule.table] then
		error(format("%s: table must be one of %s", what, table.concat(names(TABLES), ", ")), 3)
	end
	if not ACTIONS[rule.action] then error(what .. ": action must be delete, anonymise or archive", 3) end
	local keep = seconds(rule.keep)
	if not keep or keep < KEEP_LEAST then error(what .. ": keep must be a time like \"90d\", at least 1h", 3) end
	if rule.where ~= nil and type(rule.where) ~= "table" then error(what .. ": where must be a table", 3) end
	check(what .. ": where", WHERE, rule.where or {})
	if rule.action == "archive" and type(rule.to) ~= "string" then
		error(what .. ": to must name a folder, or s3://bucket/prefix", 3)
	end
	if rule.table == "audit_logs" and rule.action == "anonymise" then
		error(what .. ": the audit log is a chain: its rows cannot be changed", 3)
	end
	if rule.table == "users" and rule.action ~= "anonymise" then
		error(what .. ": users are anonymised, the audit log names them", 3)
	end
	return { name = rule.name, table = rule.table, where = rule.where or {}, keep = keep, action = rule.action,
		to = rule.to, keep_text = rule.keep }
end

--- retention { slice = 1000, { name=, table=, where=, keep=, action=, to= }, ... }
local function declare(decl)
	local file = E.loading()
	if not file or not file:find("^policy/") then error("retention is only possible in a file of policy/", 2) end
	if policy then error("retention: there is a policy already", 2) end
	if type(decl) ~= "table" then error("retention takes a table", 2) end
	check("retention", { slice = true }, decl)
	local slice = decl.slice or SLICE
	if type(slice) ~= "number" or slice ~= floor(slice) or slice < 1 or slice > SLICE_MAX then
		error("retention: slice must be a whole number from 1 to " .. SLICE_MAX, 2)
	end
	policy = { slice = slice, rules = {} }
	for i, rule in ipairs(decl) do policy.rules[i] = check_rule(i, rule) end
end

-- What the repository needs to choose the rows of a rule.
local function chosen(rule, more)
	local args = { table = rule.table, before = floor(E.now() - rule.keep) }
	for k, v in pairs(rule.where) do args[k] = v end
	for k, v in pairs(more or {}) do args[k] = v end
	return args
end

local function whole(rule)
	return MONTHS[rule.table] and next(rule.where) == nil and rule.action ~= "anonymise"
end

local function months_of(rule)
	if not whole(rule) then return {} end
	local found, err = db.retention:months { table = rule.table, before = floor(E.now() - rule.keep) }
	if not found then return nil, err end
	return found.items
end

local function plan_rule(rule)
	local anonymise = rule.action == "anonymise" or nil
	local counted, err = db.retention:count(chosen(rule, { to_anonymise = anonymise }))
	if not counted then return nil, err end
	local months
	months, err = months_of(rule)
	if not months then return nil, err end
	local list = json.array {}
	for i, m in ipairs(months) do list[i] = m.name end
	return { name = rule.name, table = rule.table, action = rule.action, keep = rule.keep_text, rows = counted.count,
		held = counted.held, oldest = counted.oldest, months = list, to = rule.to }
end

--- What would be done now, rule by rule: rows, those of them under a legal hold, whole months. Nothing is changed. Waits.
local function plan()
	local out = json.array {}
	for i, rule in ipairs(policy and policy.rules or {}) do
		local one, err = plan_rule(rule)
		if not one then return nil, err end
		out[i] = one
	end
	return { rules = out }
end

-- Half of the time is rest, so that whoever else needs the disk gets it.
local function rest(since)
	local took = E.now() - since
	E.sleep(took < 0.02 and 0.02 or took > 2 and 2 or took)
end

local function slices(rule, operation)
	local total = 0
	while true do
		local began = E.now()
		local n, err = db.retention[operation](db.retention, chosen(rule, { limit = policy.slice }))
		if not n then return nil, err end
		total = total + n
		if n == 0 then return total end
		rest(began)
	end
end

-- A slice is in the archive, safely, before its rows go.
local function archive_slice(rule, run, args)
	local found, err = db.retention:fetch(args)
	if not found then return nil, err end
	local rows = found.items
	if #rows == 0 then return 0 end
	local lines, ids = {}, json.array {}
	for i, r in ipairs(rows) do
		lines[i] = json.encode(r.row)
		ids[i] = r.id
	end
	lines[#lines + 1] = ""
	objects = objects + 1
	local key = format("%s/%s/run-%d-%06d.ndjson.gz", rule.table, E.format_time(E.now()):sub(1, 10), run, objects)
	local done
	done, err = E.call("archive.put", json.encode { to = rule.to, key = key, text = table.concat(lines, "\n") })
	if not done then return nil, err end
	return #rows, nil, ids
end

local function archive(rule, run)
	local total = 0
	while true do
		local began = E.now()
		local n, err, ids = archive_slice(rule, run, chosen(rule, { limit = policy.slice }))
		if not n then return nil, err end
		if n == 0 then return total end
		n, err = db.retention:delete_rows(chosen(rule, { ids = json.encode(ids) }))
		if not n then return nil, err end
		if n == 0 then return nil, { message = "archived rows could not be deleted" } end
		total = total + n
		rest(began)
	end
end

local function archive_month(rule, run, month)
	local after
	while true do
		local args = { table = rule.table, before = month["until"], limit = policy.slice, after = after }
		local n, err, ids = archive_slice(rule, run, args)
		if not n then return nil, err end
		if n == 0 then return true end
		after = ids[#ids]
	end
end

local function drop_month(rule, month)
	local err
	for _ = 1, TRIES do
		local done
		done, err = db.retention:drop_month { table = rule.table, name = month.name }
		if done then return true end
		if err.sqlstate ~= "55P03" then break end
		E.sleep(0.5)
	end
	return nil, err
end

local function drop_months(rule, run, dropped)
	local months, err = months_of(rule)
	if not months then return nil, err end
	for _, month in ipairs(months) do
		local held
		held, err = db.retention:count { table = rule.table, before = month["until"] }
		if not held then return nil, err end
		if held.held > 0 then break end          -- row by row, then
		if rule.action == "archive" then
			local ok
			ok, err = archive_month(rule, run, month)
			if not ok then return nil, err end
		end
		local ok
		ok, err = drop_month(rule, month)
		if not ok then return nil, err end
		dropped[#dropped + 1] = month.name
	end
	return true
end

local function run_rule(rule, run)
	local out = { name = rule.name, table = rule.table, action = rule.action, months = json.array {} }
	local ok, err = drop_months(rule, run, out.months)
	if not ok then return nil, err end
	if rule.table == "audit_logs" then
		out.rows = 0
	elseif rule.action == "archive" then
		out.rows, err = archive(rule, run)
	else
		out.rows, err = slices(rule, rule.action)
	end
	if not out.rows then return nil, err end
	return out
end

--- Carries the policy out. Each rule that did something is audited. Waits.
local function run_policy(ctx)
	local report = { rules = json.array {} }
	for i, rule in ipairs(policy and policy.rules or {}) do
		local done, err = run_rule(rule, ctx.run)
		if not done then return nil, format("retention rule \"%s\": %s", rule.name, err.message or tostring(err)) end
		report.rules[i] = done
		if done.rows > 0 or #done.months > 0 then
			local noted
			noted, err = db.audit_logs:append { event_type = "retention.run", resource = rule.table, action = rule.action,
				details = { rule = rule.name, keep = rule.keep_text, rows = done.rows, months = done.months, run = ctx.run } }
			if not noted then return nil, format("could not audit: %s", err.message) end
		end
		ctx.progress(report)
	end
	return report
end

return { declare = declare, plan = plan, run = run_policy }
