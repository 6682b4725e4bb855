--- What a suppression must not be. Pure functions.
local M = {}

local function hides(scope, rule, fire)
  if scope.rule and scope.rule ~= rule then return false end
  if scope.chain_id and scope.chain_id ~= fire.chain then return false end
  if scope.dedup_key and scope.dedup_key ~= fire.dedup then return false end
  if scope.address then
    local address = scope.address:lower()
    if fire.from ~= address and fire.to ~= address then return false end
  end
  return true
end

--- The first rule (by id) whose own test would be hidden; nil: none. `fires` is the table of engine.rule_fires().
function M.hidden_test(scope, fires)
  local rules = {}
  for rule in pairs(fires) do rules[#rules + 1] = rule end
  table.sort(rules)
  for _, rule in ipairs(rules) do
    for _, fire in ipairs(fires[rule]) do
      if hides(scope, rule, fire) then return rule end
    end
  end
end

--- Why the suppression cannot be made; nil: it can. `fires` is called only when the rest is right.
function M.refuse(scope, fires, now, most_s)
  if not scope.rule and not scope.address and not scope.dedup_key then
    return "a suppression names a rule, an address or a dedup key"
  end
  if scope.dedup_key == "" or scope.rule == "" then return "rule and dedup_key must not be empty" end
  if not scope.reason:find("%S") then return "reason must say something" end
  if scope.expires_at <= now then return "expires_at is not in the future" end
  if scope.expires_at > now + most_s then return "expires_at is more than a year away" end
  local rule = M.hidden_test(scope, json.decode(fires()))
  if rule then
    return 'it would hide what a test of rule "' .. rule .. '" fires on; name an address or a dedup key as well, '
      .. "or disable the rule"
  end
end

return M
