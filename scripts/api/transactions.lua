--- What came in: by hash, by address, and sums over a period.

local schemas = require "lib.schemas"
local filters = require "lib.filter"

local INCLUDE = { type = "string", max_length = 64, doc = "anomalies, predictions, or both with a comma" }

endpoint {
  method = "GET", path = "/api/v1/transactions/{hash}", auth = "viewer",
  summary = "one transaction by its hash",
  params = { hash = { type = "hash", required = true }, chain_id = { type = "integer", min = 0 }, include = INCLUDE },
  responses = { [200] = { description = "the transaction", schema = schemas.transaction }, [404] = "not known" },
  handler = function(req)
    local row, err = db.transactions:get_json(req.params)
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

local AMOUNT = { type = "string", max_length = 80, doc = "wei: decimal digits, or 0x and hex digits" }
local BY_TIME = { "since", "until", "min_value", "max_value", "status", "creation", "canonical" }
local NOT_WITH_ADDRESS = { "min_value", "max_value", "status", "creation", "canonical" }

local function first_of(params, names)
  for _, name in ipairs(names) do
    if params[name] ~= nil then return name end
  end
end

endpoint {
  method = "GET", path = "/api/v1/transactions", auth = "viewer",
  summary = "transactions, newest first: of an address, of a period, of high value, or all",
  description = "With an address in the order of arrival; with a filter on time, value, status, creation or "
    .. "canonical in the order of block time; else in the order of arrival.",
  params = {
    address = { type = "address", doc = "sender or receiver" },
    direction = { type = "string", enum = { "in", "out", "both" }, doc = "seen from the address" },
    chain_id = { type = "integer", min = 0 },
    since = { type = "time", doc = "block time" },
    ["until"] = { type = "time", doc = "block time" },
    min_value = AMOUNT, max_value = AMOUNT,
    status = { type = "integer", min = 0, max = 1, doc = "0: failed" },
    creation = { type = "boolean", doc = "creates a contract" },
    canonical = { type = "boolean", doc = "false: dropped by a reorg" },
    include = INCLUDE,
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
    offset = { type = "integer", min = 0, max = 100000, doc = "rows to leave out; deeper goes by cursor" },
    order = { type = "string", enum = { "asc", "desc" } },
  },
  responses = {
    [200] = { description = "a page", schema = schemas.page(schemas.transaction) },
    [400] = "a parameter is wrong",
  },
  handler = function(req)
    local p = filters.times(req.params)
    local page, err
    if p.address then
      local wrong = first_of(p, NOT_WITH_ADDRESS)
      if wrong then return problem(400, "parameter_invalid", wrong .. " does not go with an address") end
      page, err = db.transactions:by_address_json(p)
    elseif p.direction then
      return problem(400, "parameter_invalid", "direction goes with an address")
    elseif first_of(p, BY_TIME) then
      page, err = db.transactions:by_time_json(p)
    else
      page, err = db.transactions:list_json(p)
    end
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/transactions/statistics", auth = "viewer",
  summary = "totals, averages and extremes of a period of block time, exact",
  params = {
    since = { type = "time", required = true }, ["until"] = { type = "time" }, chain_id = { type = "integer", min = 0 },
    min_value = AMOUNT,
  },
  responses = { [200] = { description = "decimal strings, in wei", schema = { type = "object" } } },
  handler = function(req)
    local row, err = db.transactions:statistics_json(filters.times(req.params))
    if not row then return problem(err) end
    return reply_raw(200, row)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/statistics", auth = "viewer",
  summary = "counts and sums of a period of block time, and its anomalies by rule",
  params = {
    since = { type = "time", required = true }, ["until"] = { type = "time" }, chain_id = { type = "integer", min = 0 },
  },
  responses = { [200] = { description = "transactions, anomalies", schema = { type = "object" } } },
  handler = function(req)
    local p = filters.times(req.params)
    local totals, err = db.transactions:statistics_json(p)
    if not totals then return problem(err) end
    local found, err2 = db.anomalies:statistics_json { since = p.since, ["until"] = p["until"] }
    if not found then return problem(err2) end
    return reply_raw(200, '{"transactions":' .. totals .. ',"anomalies":' .. found .. "}")
  end,
}
