package settings

import "strings"

// accepted is what Kong knows and this program does not need, with the reason that the operator is told.
// Kong: kong/templates/kong_defaults.lua
var accepted = []struct{ reason, names string }{
	{"logs go to standard error", `
		proxy_error_log proxy_stream_access_log proxy_stream_error_log admin_access_log admin_error_log
		admin_gui_access_log admin_gui_error_log status_access_log status_error_log debug_access_log debug_error_log`},
	{"every plugin that this program has is enabled", "plugins"},
	{"there are no plugin servers", "pluginserver_names"},
	{"values are not taken from vaults; KONG_X_FILE reads a value from a file", "vaults"},
	{"nothing is reported to anyone", "anonymous_reports"},
	{"there is one process and no worker to configure", `
		dedicated_config_processing privileged_worker nginx_user nginx_worker_processes nginx_daemon mem_cache_size
		worker_consistency router_consistency worker_state_update_frequency worker_events_max_payload
		concurrency_timeout kic legacy_worker_events openresty_path`},
	{"error answers have Kong's JSON body", `
		error_template_html error_template_json error_template_xml error_template_plain error_default_type`},
	{"there is no control plane", `
		role cluster_mtls cluster_cert cluster_cert_key cluster_ca_cert cluster_allowed_common_names cluster_server_name
		cluster_control_plane cluster_telemetry_endpoint cluster_telemetry_server_name cluster_dp_labels cluster_listen
		cluster_telemetry_listen cluster_data_plane_purge_delay cluster_ocsp cluster_use_proxy cluster_max_payload
		cluster_rpc cluster_rpc_sync cluster_cjson cluster_fallback_config_import cluster_fallback_config_storage
		cluster_fallback_export_s3_config cluster_fallback_config_export cluster_fallback_config_export_delay
		proxy_server proxy_server_ssl_verify`},
	{"streams of TCP and UDP are not proxied", "stream_listen"},
	{"there is no debug API", "debug_listen debug_listen_local debug_ssl_cert debug_ssl_cert_key"},
	{"Go's TLS chooses its own ciphers, groups and sessions", `
		ssl_ciphers ssl_prefer_server_ciphers ssl_dhparam ssl_session_tickets ssl_session_timeout ssl_session_cache_size
		lua_ssl_protocols fips`},
	{"the database is asked in a way of this program's own", `
		pg_iam_auth pg_iam_auth_assume_role_arn
		pg_iam_auth_role_session_name pg_iam_auth_sts_endpoint_url pg_ssl_version
		pg_max_concurrent_queries pg_semaphore_timeout
		pg_keepalive_timeout pg_backlog
		pg_ro_host pg_ro_port pg_ro_timeout pg_ro_user pg_ro_password pg_ro_iam_auth pg_ro_iam_auth_assume_role_arn
		pg_ro_iam_auth_role_session_name pg_ro_iam_auth_sts_endpoint_url pg_ro_database pg_ro_schema pg_ro_ssl
		pg_ro_ssl_required pg_ro_ssl_verify pg_ro_ssl_version pg_ro_ssl_cert pg_ro_ssl_cert_key
		pg_ro_max_concurrent_queries pg_ro_semaphore_timeout pg_ro_keepalive_timeout pg_ro_pool_size pg_ro_backlog
		db_update_frequency db_update_propagation db_cache_neg_ttl db_resurrect_ttl
		db_cache_warmup_entities lmdb_environment_path lmdb_map_size password`},
	{"one query a name is in flight, and the cache is one", "dns_no_sync resolver_mem_cache_size legacy_dns_client"},
	{"routes are matched in one way", "route_match_calculation route_validation_strategy enforce_route_path_pattern"},
	{"Lua runs in a machine of this program's own, with bounds of its own", `
		lua_max_req_headers lua_max_resp_headers lua_max_uri_args lua_max_post_args lua_package_path lua_package_cpath
		lua_socket_pool_size`},
	{"the page serves itself, on admin_gui_listen, with admin_token", `
		proxy_url admin_api_uri admin_gui_url admin_gui_path admin_gui_api_url admin_gui_ssl_protocols admin_gui_flags
		admin_gui_auth admin_gui_auth_conf admin_gui_auth_password_complexity admin_gui_session_conf
		admin_gui_auth_header admin_gui_auth_login_attempts admin_gui_auth_login_attempts_ttl
		admin_gui_auth_change_password_attempts admin_gui_auth_change_password_ttl admin_gui_header_txt
		admin_gui_header_bg_color admin_gui_header_txt_color admin_gui_footer_txt admin_gui_footer_bg_color
		admin_gui_footer_txt_color admin_gui_login_banner_title admin_gui_login_banner_body enforce_rbac
		rbac_auth_header`},
	{"it belongs to Kong's Enterprise edition", `
		event_hooks_enabled konnect_mode analytics_flush_interval analytics_buffer_size_limit analytics_debug
		admin_emails_from admin_emails_reply_to admin_invitation_expiry smtp_mock smtp_host smtp_port smtp_starttls
		smtp_username smtp_password smtp_ssl smtp_auth_type smtp_domain smtp_timeout_connect smtp_timeout_send
		smtp_timeout_read smtp_admin_emails audit_log audit_log_ignore_methods audit_log_ignore_paths
		audit_log_ignore_tables audit_log_payload_exclude audit_log_record_ttl audit_log_signing_key
		keyring_enabled keyring_strategy keyring_public_key keyring_private_key keyring_recovery_public_key
		keyring_blob_path keyring_vault_host keyring_vault_mount keyring_vault_path keyring_vault_auth_method
		keyring_vault_token keyring_vault_kube_role keyring_vault_kube_api_token_file keyring_encrypt_license
		license_data license_path portal vitals`},
	{"there are no WebAssembly filters", "wasm wasm_filters_path wasm_filters"},
	{"every request can be traced, so none needs a debug token", "request_debug request_debug_token"},
}

// families are names that Kong takes by their beginning. The longest beginning that fits counts.
// Kong: kong/conf_loader/constants.lua DYNAMIC_KEY_NAMESPACES
var families = []struct{ prefix, reason string }{
	{"nginx_main_", noNginx},
	{"nginx_events_", noNginx},
	{"nginx_http_", noNginx},
	{"nginx_proxy_", noNginx},
	{"nginx_location_", noNginx},
	{"nginx_upstream_", noNginx},
	{"nginx_admin_", noNginx},
	{"nginx_status_", noNginx},
	{"nginx_debug_", noNginx},
	{"nginx_stream_", noNginx},
	{"nginx_sproxy_", noNginx},
	{"nginx_supstream_", noNginx},
	{"nginx_wasm_", "there are no WebAssembly filters"},
	{"pluginserver_", "there are no plugin servers"},
	{"vault_", "values are not taken from vaults; KONG_X_FILE reads a value from a file"},
	{"cassandra_", "Kong dropped Cassandra, and it is not used here"},
	{"portal_", "it belongs to Kong's Enterprise edition"},
}

const noNginx = "there is no nginx to pass it to"

// reasons finds an accepted setting's reason by its name.
var reasons = func() map[string]string {
	byName := make(map[string]string)
	for _, group := range accepted {
		for name := range strings.FieldsSeq(group.names) {
			byName[name] = group.reason
		}
	}
	return byName
}()

// meaningless tells why a name that Kong knows has no effect here; false when Kong does not know it either, or when
// it is honoured.
func meaningless(name string) (reason string, ok bool) {
	if honoured[name] != nil {
		return "", false
	}
	if reason, ok = reasons[name]; ok {
		return reason, true
	}
	for _, family := range families {
		if len(name) > len(family.prefix) && strings.HasPrefix(name, family.prefix) {
			return family.reason, true
		}
	}
	return "", false
}

// known reports whether a name is honoured or accepted.
func known(name string) bool {
	_, ok := meaningless(name)
	return ok || honoured[name] != nil
}
