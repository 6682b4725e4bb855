--- Scheduled jobs, retention and legal holds.

local schemas = require "lib.schemas"

local NAME = { type = "string", max_length = 64, required = true }
local RUN = { type = "object", properties = {
  id = { type = "integer" }, name = { type = "string" },
  status = { type = "string", enum = { "running", "succeeded", "failed", "interrupted" } },
  started_at = { type = "string", format = "date-time" }, detail = { type = "object" },
  error = { type = { "string", "null" } },
} }

endpoint {
  method = "GET", path = "/api/v1/jobs", auth = "operator",
  summary = "scheduled jobs, when each is due next on this engine, and its last run",
  responses = { [200] = { description = "items", schema = { type = "object" } } },
  handler = function()
    local list, names = json.array(jobs.list()), {}
    for i, j in ipairs(list) do
      names[i] = j.name
      j.due, j.last = time.format(j.due), json.null
    end
    local runs, err = db.job_runs:last { names = names }
    if not runs then return problem(err) end
    for _, run in ipairs(runs.items) do
      for _, j in ipairs(list) do
        if j.name == run.name then j.last = run end
      end
    end
    return reply(200, { items = list, next = json.null })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/jobs/{name}/runs", auth = "operator",
  summary = "runs of a job, newest first",
  params = {
    name = NAME, status = { type = "string", enum = { "running", "succeeded", "failed", "interrupted" } },
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(RUN) } },
  handler = function(req)
    local page, err = db.job_runs:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/jobs/{name}/runs/{id}", auth = "operator",
  summary = "one run of a job",
  params = { name = NAME, id = { type = "integer", min = 1, required = true } },
  responses = { [200] = { description = "the run", schema = RUN }, [404] = "no such run of that job" },
  handler = function(req)
    local run, err = db.job_runs:get { id = req.params.id }
    if not run then return problem(err) end
    if run.name ~= req.params.name then return problem(404, "not_found", "no such run of that job") end
    return reply(200, run)
  end,
}

local function start(name)
  local run, err = jobs.start(name)
  if not run then return problem(err) end
  local noted, why = db.audit_logs:append { event_type = "job.start", resource = "job/" .. name, action = "run",
    details = { run = run.id } }
  if not noted then return problem(why) end
  return reply(202, run)
end

endpoint {
  method = "POST", path = "/api/v1/jobs/{name}/run", auth = "operator",
  summary = "run a job now, beside its schedule",
  params = { name = NAME },
  responses = {
    [202] = { description = "its run has begun", schema = RUN }, [404] = "no such job", [409] = "it is running",
  },
  handler = function(req) return start(req.params.name) end,
}

endpoint {
  method = "GET", path = "/api/v1/admin/retention", auth = "operator",
  summary = "what the retention policy would do now: rows, legal holds, whole months; nothing is changed",
  timeout_ms = 120000,
  responses = { [200] = { description = "rules", schema = { type = "object" } } },
  handler = function()
    local plan, err = jobs.plan_retention()
    if not plan then return problem(err) end
    return reply(200, plan)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/admin/retention", auth = "admin",
  summary = "carry the retention policy out now; its run is that of the job \"retention\"",
  responses = {
    [202] = { description = "its run has begun", schema = RUN }, [404] = "no such job", [409] = "it is running",
  },
  handler = function() return start("retention") end,
}

-- --- legal holds ---

endpoint {
  method = "GET", path = "/api/v1/legal-holds", auth = "analyst",
  summary = "what retention may not touch, newest first",
  params = {
    active = { type = "boolean", default = true },
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page { type = "object" } } },
  handler = function(req)
    local page, err = db.legal_holds:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

local function audited(what, act)
  local row, err = db.transaction(function()
    local row, err = act()
    if not row then return nil, err end
    local noted, why = db.audit_logs:append { event_type = "legal_hold." .. what, resource = "legal_hold/" .. row.id,
      action = what, details = { hash = row.hash, address = row.address, rule = row.rule, reason = row.reason } }
    if not noted then return nil, why end
    return row
  end)
  return row, err
end

local function who(req) return req.user and req.user.id > 0 and req.user.id or nil end

endpoint {
  method = "POST", path = "/api/v1/legal-holds", auth = "operator",
  summary = "keep a transaction, all of an address, or all that a rule found, whatever the policy says",
  body = { fields = {
    hash = { type = "hash" }, address = { type = "address" }, rule = { type = "string", max_length = 128 },
    reason = { type = "string", min_length = 1, max_length = 2000, required = true },
  }, required = true },
  responses = {
    [201] = { description = "the hold", schema = { type = "object" } }, [400] = "not one of hash, address, rule",
    [422] = "a field is wrong",
  },
  handler = function(req)
    local d = req.data
    if d.rule and not d.rule:find("^[%w_.-]+$") then
      return problem(422, "body_invalid", "/rule must be the id of a rule: letters, digits, dots, hyphens")
    end
    local row, err = audited("create", function()
      return db.legal_holds:create { hash = d.hash, address = d.address, rule = d.rule, reason = d.reason,
        created_by = who(req) }
    end)
    if not row then return problem(err) end
    return reply(201, row)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/legal-holds/{id}/release", auth = "admin",
  summary = "end a hold",
  params = { id = { type = "integer", min = 1, required = true } },
  responses = {
    [200] = { description = "the hold", schema = { type = "object" } }, [404] = "no such hold, or released",
  },
  handler = function(req)
    local row, err = audited("release", function()
      return db.legal_holds:release { id = req.params.id, released_by = who(req) }
    end)
    if not row then return problem(err) end
    return reply(200, row)
  end,
}
