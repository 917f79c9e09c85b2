package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settling is how long files have to stay as they are before they are read: an editor, or a mounted ConfigMap, changes
// several at once.
const settling = 200 * time.Millisecond

// watchFiles calls changed after something in the files and folders of paths has changed, until ctx ends. It watches
// folders, since files are often replaced rather than written: Kubernetes swaps the link ..data.
func watchFiles(ctx context.Context, paths []string, logger *slog.Logger, changed func()) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		logger.Warn("configuration files are not watched: reload with SIGHUP or sidekong reload", "error", err)
		return
	}
	defer func() { _ = watcher.Close() }() // nothing is left to do about it
	var folders []string
	files := map[string]bool{} // watched by name; those in a folder of paths by their folder
	for _, path := range paths {
		path, err = filepath.Abs(path)
		if err != nil {
			logger.Warn("configuration is not watched", "path", path, "error", err)
			continue
		}
		folder := path
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			folder = filepath.Dir(path)
			files[path] = true
			_ = watcher.Add(path) // a file that is mounted by itself tells its folder nothing; elsewhere the folder is enough
		}
		if slices.Contains(folders, folder) {
			continue
		}
		if err := watcher.Add(folder); err != nil {
			logger.Warn("configuration is not watched", "path", folder, "error", err)
			continue
		}
		folders = append(folders, folder)
	}
	whole := func(folder string) bool { // the folder itself is in paths
		return slices.ContainsFunc(paths, func(p string) bool { abs, err := filepath.Abs(p); return err == nil && abs == folder })
	}
	var timer <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-watcher.Events:
			if !ok {
				return
			}
			swapped := filepath.Base(event.Name) == "..data"
			if !event.Has(fsnotify.Chmod) && (files[event.Name] || swapped || whole(filepath.Dir(event.Name)) && !hidden(event.Name)) {
				timer = time.After(settling)
			}
		case err, ok := <-watcher.Errors:
			if !ok {
				return
			}
			logger.Warn("watching configuration files", "error", err)
		case <-timer:
			timer = nil
			changed()
		}
	}
}

// hidden names are those of editors' own files.
func hidden(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") || strings.HasSuffix(base, "~")
}
