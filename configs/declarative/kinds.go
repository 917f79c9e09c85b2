package declarative

import "slices"

// kind is a collection of entities that Sidekong serves. Its name is the key in the file.
type kind struct {
	name     string
	one      string            // in messages
	key      string            // field that names an entity, "" if none does
	refs     map[string]string // field → kind it points to
	children map[string]string // kind that may be nested → its field that points back
}

// kinds is in an order in which each comes after those it points to.
var kinds = []*kind{
	{
		name: "ca_certificates", one: "CA certificate",
	},
	{
		name: "certificates", one: "certificate",
		children: map[string]string{"snis": "certificate", "services": "client_certificate", "upstreams": "client_certificate"},
	},
	{
		name: "consumers", one: "consumer", key: "username",
		children: map[string]string{"plugins": "consumer", "keyauth_credentials": "consumer", "basicauth_credentials": "consumer"},
	},
	{
		name: "upstreams", one: "upstream", key: "name",
		refs:     map[string]string{"client_certificate": "certificates"},
		children: map[string]string{"targets": "upstream"},
	},
	{
		name: "services", one: "service", key: "name",
		refs:     map[string]string{"client_certificate": "certificates"},
		children: map[string]string{"routes": "service", "plugins": "service"},
	},
	{
		name: "routes", one: "route", key: "name",
		refs:     map[string]string{"service": "services"},
		children: map[string]string{"plugins": "route"},
	},
	{
		name: "snis", one: "SNI", key: "name",
		refs: map[string]string{"certificate": "certificates"},
	},
	{
		name: "targets", one: "target", key: "target",
		refs: map[string]string{"upstream": "upstreams"},
	},
	{
		name: "plugins", one: "plugin",
		refs: map[string]string{"service": "services", "route": "routes", "consumer": "consumers"},
	},
	{
		name: "keyauth_credentials", one: "key-auth credential",
		refs: map[string]string{"consumer": "consumers"},
	},
	{
		name: "basicauth_credentials", one: "basic-auth credential",
		refs: map[string]string{"consumer": "consumers"},
	},
}

var kindByName = func() map[string]*kind {
	m := make(map[string]*kind, len(kinds))
	for _, k := range kinds {
		m[k.name] = k
	}
	return m
}()

// nests says whether lists of child may stand in entities of k.
func (k *kind) nests(child string) bool {
	_, served := k.children[child]
	return served || slices.Contains(others[child].in, k.name)
}

// other is a collection of Kong or decK that Sidekong reads and does not serve.
type other struct {
	in   []string // kinds whose entities may hold it; every kind may stand at the top
	kong string   // what Kong would do with it
}

var others = map[string]other{
	"acls":                                  {[]string{"consumers"}, "Kong would put these consumers into groups for the acl plugin"},
	"jwt_secrets":                           {[]string{"consumers"}, "Kong would accept JSON Web Tokens signed with these"},
	"hmacauth_credentials":                  {[]string{"consumers"}, "Kong would accept requests signed with these"},
	"oauth2_credentials":                    {[]string{"consumers"}, "Kong would let these clients ask for OAuth 2.0 tokens"},
	"oauth2_tokens":                         {nil, "Kong would accept these OAuth 2.0 tokens"},
	"oauth2_authorization_codes":            {nil, "Kong would exchange these codes for OAuth 2.0 tokens"},
	"mtls_auth_credentials":                 {[]string{"consumers"}, "Kong Enterprise would accept these client certificates"},
	"groups":                                {[]string{"consumers"}, "Kong Enterprise would put these consumers into consumer groups"},
	"consumer_groups":                       {nil, "Kong Enterprise would run plugins for the members of these groups"},
	"consumer_group_consumers":              {nil, "Kong Enterprise would put consumers into consumer groups"},
	"consumer_group_plugins":                {nil, "Kong Enterprise would run these plugins for consumer groups"},
	"vaults":                                {nil, "Kong would read {vault://…} references from these"},
	"keys":                                  {nil, "Kong would hold these keys ready for plugins"},
	"key_sets":                              {nil, "Kong would hold these keys ready for plugins"},
	"parameters":                            {nil, "Kong would keep these values for itself"},
	"filter_chains":                         {[]string{"services", "routes"}, "Kong would run these WebAssembly filters"},
	"workspaces":                            {nil, "Kong Enterprise would keep entities apart by workspace; here all share one"},
	"licenses":                              {nil, "Kong Enterprise would unlock its features"},
	"partials":                              {nil, "Kong Enterprise would share these settings between plugins"},
	"custom_plugins":                        {nil, "Kong Enterprise would load these plugins' code"},
	"custom_entities":                       {nil, "Kong would hand these to the plugins that define them"},
	"rbac_roles":                            {nil, "Kong Enterprise would control access to its Admin API"},
	"rbac_users":                            {nil, "Kong Enterprise would control access to its Admin API"},
	"rbac_role_endpoints":                   {nil, "Kong Enterprise would control access to its Admin API"},
	"rbac_role_entities":                    {nil, "Kong Enterprise would control access to its Admin API"},
	"rbac_endpoint_permissions":             {nil, "Kong Enterprise would control access to its Admin API"},
	"rbac_entity_permissions":               {nil, "Kong Enterprise would control access to its Admin API"},
	"admins":                                {nil, "Kong Enterprise would let these people use Kong Manager"},
	"developers":                            {nil, "Kong Enterprise would let these people use its developer portal"},
	"applications":                          {nil, "Kong Enterprise would serve these in its developer portal"},
	"files":                                 {nil, "Kong Enterprise would serve these in its developer portal"},
	"event_hooks":                           {nil, "Kong Enterprise would call these when something happens"},
	"degraphql_routes":                      {[]string{"services"}, "Kong Enterprise would turn these paths into GraphQL queries"},
	"graphql_ratelimiting_cost_decorations": {[]string{"services"}, "Kong Enterprise would weigh GraphQL queries by these"},
	"service_packages":                      {nil, "Konnect would list these in its service catalogue"},
	"acme_storage":                          {nil, "Kong would keep ACME certificates here"},
	"sessions":                              {nil, "Kong would keep the session plugin's sessions here"},
	"ratelimiting_metrics":                  {nil, "Kong would count requests here"},
	"clustering_data_planes":                {nil, "Kong would list its data planes here"},
	"tags":                                  {nil, "Kong derives these from the entities"},
}
