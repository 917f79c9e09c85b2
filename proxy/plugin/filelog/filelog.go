// Package filelog is Kong's file-log plugin: a line of JSON for each request in a file.
// Kong: kong/plugins/file-log/handler.lua
package filelog

import (
	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
)

// Name is the plugin's name in a configuration.
const Name = "file-log"

const priority = 9

// Define makes the plugin's definition. Its instances write to files; lua is what custom_fields_by_lua runs by.
func Define(files *Files, lua plugin.Lua) *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(), Watches: true,
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			var config struct {
				Path   string            `json:"path"`
				Reopen bool              `json:"reopen"`
				Lua    map[string]string `json:"custom_fields_by_lua"`
			}
			if err := entity.Decode(p.Config, &config); err != nil {
				return nil, err
			}
			fields, err := lua.Expressions(p, env, "config.custom_fields_by_lua", config.Lua)
			if err != nil {
				return nil, err
			}
			f, err := files.acquire(config.Path, config.Reopen)
			if err != nil {
				return nil, err
			}
			return &fileLog{f, plugin.NewRecorder(env), plugin.CustomFields{Expressions: fields}}, nil
		},
	}
}

// fileLog is one configured plugin.
type fileLog struct {
	file     *file
	recorder *plugin.Recorder
	plugin.CustomFields
}

// Log writes the request's line.
func (l *fileLog) Log(ctx *plugin.Context) {
	l.Set(ctx)
	line, err := l.recorder.JSON(ctx)
	if err != nil {
		ctx.Logger.Error("request is not logged", "plugin", Name, "error", err, "request_id", ctx.RequestID)
		return
	}
	l.file.append(line)
}

// Close lets go of the file.
func (l *fileLog) Close() error {
	l.file.release()
	return l.CustomFields.Close()
}
