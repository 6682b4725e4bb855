--- What the endpoints of identity share. Pure but for `done`, which waits.
local M = {}

M.ROLES = { "viewer", "analyst", "operator", "admin", "service" }

local IS_ROLE = {}
for _, role in ipairs(M.ROLES) do IS_ROLE[role] = true end

--- A list of role names out of a body: a sorted list without doubles, or nil and what is wrong.
function M.roles(list, pointer)
  local seen, out = {}, {}
  for _, role in ipairs(list) do
    if not IS_ROLE[role] then
      return nil, { pointer = pointer, detail = "must be a list of viewer, analyst, operator, admin, service" }
    end
    if not seen[role] then
      seen[role] = true
      out[#out + 1] = role
    end
  end
  table.sort(out)
  return out
end

function M.has(list, wanted)
  for _, v in ipairs(list or {}) do if v == wanted then return true end end
  return false
end

function M.is_admin(req) return M.has(req.user.roles, "admin") end

--- One "@" with something on both sides, no spaces or control characters, 254 bytes at most.
function M.email_fault(email)
  if #email > 254 or not email:find("^[^%s%c@]+@[^%s%c@]+$") then return "must be an e-mail address" end
end

function M.invalid(pointer, detail)
  return problem(422, "body_invalid", pointer .. " " .. detail, { errors = { { pointer = pointer, detail = detail } } })
end

--- After a change of who may enter: it holds here when this returns. Elsewhere within a second, also if this fails.
function M.done()
  local ok, err = auth.refresh()
  if not ok then log.warn("who may enter is read late", { error = err.message }) end
end

M.user = {
  type = "object",
  properties = {
    id = { type = "integer" }, email = { type = "string" },
    roles = { type = "array", items = { type = "string", enum = M.ROLES } },
    is_active = { type = "boolean" }, created_at = { type = "string", format = "date-time" },
    last_login = { type = { "string", "null" }, format = "date-time" },
  },
}

M.key = {
  type = "object",
  properties = {
    id = { type = "integer" }, user_id = { type = "integer" }, name = { type = "string" },
    prefix = { type = "string", description = "beginning of the key, to tell which one it is" },
    scopes = { type = "array", items = { type = "string", enum = M.ROLES },
      description = "empty: all of the user's roles" },
    is_active = { type = "boolean" }, created_at = { type = "string", format = "date-time" },
    last_used = { type = { "string", "null" }, format = "date-time" },
    expires_at = { type = { "string", "null" }, format = "date-time" },
  },
}

return M
