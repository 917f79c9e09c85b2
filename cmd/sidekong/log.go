package main

import (
	"context"
	"io"
	"log/slog"
)

// Kong's levels that slog has no name for. nginx: ngx_log.h
const (
	levelNotice = slog.Level(2)
	levelCrit   = slog.Level(12)
	levelAlert  = slog.Level(14)
	levelEmerg  = slog.Level(16)
)

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "notice": levelNotice, "warn": slog.LevelWarn,
	"error": slog.LevelError, "crit": levelCrit, "alert": levelAlert, "emerg": levelEmerg,
}

// newLogger writes records of a level and above, as text or json.
func newLogger(w io.Writer, format, level string) *slog.Logger {
	options := &slog.HandlerOptions{Level: levels[level], ReplaceAttr: nameLevel}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// nameLevel writes Kong's names of levels.
func nameLevel(groups []string, attr slog.Attr) slog.Attr {
	if attr.Key != slog.LevelKey || len(groups) > 0 {
		return attr
	}
	level, _ := attr.Value.Any().(slog.Level)
	for name, known := range levels {
		if known == level {
			attr.Value = slog.StringValue(name)
		}
	}
	return attr
}

// notice logs what an operator should read although nothing is wrong.
func notice(log *slog.Logger, message string, attrs ...any) {
	log.Log(context.Background(), levelNotice, message, attrs...)
}
