--- Tools of administrators.

local busy = require "lib.busy"

endpoint {
  method = "POST", path = "/api/v1/admin/lua", auth = "admin",
  summary = "run a text in the sandbox, guards and budgets of production",
  description = "Off unless the setting admin.allow_eval is true. The body is Lua. It runs in a process of its "
    .. "own that ends with it; rules, state and requests do not notice.",
  params = { world = { type = "string", enum = { "rules", "scripts" }, default = "rules" } },
  body = { raw = true, content = { "text/plain", "application/x-lua" }, schema = { type = "string" } },
  body_limit = 2 ^ 20,
  responses = {
    [200] = { description = "what it returned, one value a line",
      schema = { type = "object", properties = { output = { type = "string" } } } },
    [403] = "running texts is off, or the role is not admin", [422] = "it failed or was stopped: line and reason",
    [429] = "others are being run",
  },
  handler = function(req)
    if req.body:find("[%z\27]") then return problem(422, "script_failed", "eval.lua:1: binary chunks are not run") end
    local noted, why = db.audit_logs:append { event_type = "admin.lua", resource = "engine", action = "run",
      severity = "warning", details = { world = req.params.world, bytes = #req.body, sha256 = auth.digest(req.body) } }
    if not noted then return problem(why) end
    local answer, err = engine.call("lua", json.encode { world = req.params.world, text = req.body })
    if answer then return reply_raw(200, answer) end
    if err.code == "script" or err.status == 500 then return problem(422, "script_failed", err.message) end
    return busy(err)
  end,
}
