package main

import (
	"context"
	"crypto/x509"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"sidekong/proxy/plugin/filelog"
	"sidekong/proxy/plugin/httplog"
)

// sinks are where logging plugins write to.
type sinks struct {
	files   *filelog.Files
	senders *httplog.Senders
}

func newSinks(logger *slog.Logger, roots *x509.CertPool) sinks {
	return sinks{filelog.NewFiles(logger), httplog.NewSenders(logger, roots)}
}

// close writes and posts what waits, as long as ctx lasts.
func (s sinks) close(ctx context.Context, logger *slog.Logger) {
	var group errgroup.Group
	group.Go(func() error { return s.files.Close(ctx) })
	group.Go(func() error {
		s.senders.Close(ctx)
		return nil
	})
	if err := group.Wait(); err != nil {
		logger.Warn("requests are not logged", "error", err)
	}
}
