package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
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

// logLevel is the level of a log. The Admin API changes it for a while.
type logLevel struct {
	slog.LevelVar
	mu         sync.Mutex
	configured string
	now        string
	back       *time.Timer
}

func newLogLevel(configured string) *logLevel {
	l := &logLevel{configured: configured, now: configured}
	l.Set(levels[configured])
	return l
}

// name is Kong's name of the level.
func (l *logLevel) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// change sets another level for a time; 0: for good.
func (l *logLevel) change(name string, lasting time.Duration) error {
	level, ok := levels[name]
	if !ok {
		return fmt.Errorf("unknown log level %q", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil {
		l.back.Stop()
	}
	l.now = name
	l.Set(level)
	if lasting > 0 && name != l.configured {
		l.back = time.AfterFunc(lasting, func() { _ = l.change(l.configured, 0) }) // it is known
	}
	return nil
}

// newLogger writes records of a level and above, as text or json.
func newLogger(w io.Writer, format string, level *logLevel) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevel}
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
