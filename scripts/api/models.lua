--- Whatever judges: rules, rulesets, trained models; their versions and who gets which share of the traffic.

local schemas = require "lib.schemas"

local ID = { type = "integer", min = 1, required = true }
local LIMIT = { type = "integer", min = 1, max = 1000, default = 50 }
local CURSOR = { type = "string", max_length = 512 }
local OFFSET = { type = "integer", min = 0, max = 100000, doc = "rows to leave out; deeper goes by cursor" }
local ORDER = { type = "string", enum = { "asc", "desc" } }
local MODEL = { type = "object", properties = {
  id = { type = "integer" }, name = { type = "string" }, model_type = { type = "string" },
  description = { type = "string" }, is_active = { type = "boolean" },
} }
local VERSION = { type = "object", properties = {
  id = { type = "integer" }, model_id = { type = "integer" }, version = { type = "string" },
  checksum = { type = { "string", "null" } }, metrics = { type = "object" }, hyperparameters = { type = "object" },
  is_deployed = { type = "boolean" }, traffic_percentage = { type = "number", minimum = 0, maximum = 100 },
} }

endpoint {
  method = "GET", path = "/api/v1/models", auth = "viewer",
  summary = "models and rules, newest first",
  params = {
    model_type = { type = "string", max_length = 64, doc = "rule, ruleset, or the method of a trained model" },
    not_type = { type = "string", max_length = 64, doc = "all but this type" },
    name = { type = "string", max_length = 200 },
    is_active = { type = "boolean" },
    include = { type = "string", max_length = 64, doc = "versions, or deployed: the versions that are" },
    limit = LIMIT, cursor = CURSOR, offset = OFFSET, order = ORDER,
  },
  responses = { [200] = { description = "a page", schema = schemas.page(MODEL) }, [400] = "a parameter is wrong" },
  handler = function(req)
    local page, err = db.models:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/models/{id}", auth = "viewer",
  summary = "one model with its versions",
  params = { id = ID },
  responses = { [200] = { description = "the model", schema = MODEL }, [404] = "no such model" },
  handler = function(req)
    local row, err = db.models:get_json { id = req.params.id, include = "versions" }
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/models/{id}/versions", auth = "viewer",
  summary = "versions of a model, newest first",
  params = {
    id = ID, is_deployed = { type = "boolean" }, limit = LIMIT, cursor = CURSOR, offset = OFFSET, order = ORDER,
  },
  responses = { [200] = { description = "a page", schema = schemas.page(VERSION) }, [404] = "no such model" },
  handler = function(req)
    local p = req.params
    local model, err = db.models:get { id = p.id }
    if not model then return problem(err) end
    local page, err2 = db.model_versions:list_json { model_id = p.id, is_deployed = p.is_deployed, limit = p.limit,
      cursor = p.cursor, offset = p.offset, order = p.order }
    if not page then return problem(err2) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/models/{id}/versions/{version_id}", auth = "viewer",
  summary = "one version; of a rule with its source",
  params = { id = ID, version_id = ID },
  responses = { [200] = { description = "the version", schema = VERSION }, [404] = "no such version of that model" },
  handler = function(req)
    local row, err = db.model_versions:get { id = req.params.version_id }
    if not row then return problem(err) end
    if row.model_id ~= req.params.id then return problem(404, "not_found", "no such version of that model") end
    return reply(200, row)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/models/{id}/traffic", auth = "viewer",
  summary = "the deployed versions of a model and their shares",
  params = { id = ID },
  responses = { [200] = { description = "items", schema = schemas.page(VERSION) } },
  handler = function(req)
    local rows, err = db.model_versions:traffic_json { model_id = req.params.id }
    if not rows then return problem(err) end
    return reply_raw(200, rows)
  end,
}

endpoint {
  method = "PUT", path = "/api/v1/models/{id}/traffic", auth = "operator",
  summary = "set the whole traffic split of a trained model",
  description = "`shares` maps ids of versions to percentages that sum to 100; a version that is not named gets none "
    .. "and is withdrawn. Rules and rulesets are deployed by a reload, not by this.",
  params = { id = ID },
  body = { fields = { shares = { type = "object", required = true } }, required = true },
  responses = {
    [200] = { description = "items", schema = schemas.page(VERSION) },
    [404] = "no such model, or no such version of it",
    [409] = "it is a rule or a ruleset", [400] = "the shares do not sum to 100",
  },
  handler = function(req)
    local model, err = db.models:get { id = req.params.id }
    if not model then return problem(err) end
    if model.model_type == "rule" or model.model_type == "ruleset" then
      return problem(409, "conflict", "versions of rules are deployed by a reload")
    end
    local rows
    rows, err = db.transaction(function()
      local ok, why = db.model_versions:split { model_id = model.id, shares = req.data.shares }
      if not ok then return nil, why end
      ok, why = db.audit_logs:append { event_type = "model.traffic", resource = "model/" .. model.name,
        action = "update", details = { shares = req.data.shares } }
      if not ok then return nil, why end
      return db.model_versions:traffic_json { model_id = model.id }
    end)
    if not rows then return problem(err) end
    return reply_raw(200, rows)
  end,
}
