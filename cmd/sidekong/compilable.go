package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/proxy/router"
)

// compilable refuses what Kong's schema takes and the gateway cannot serve. Were it stored, no later change would take
// effect either.
func (a *app) compilable(ctx context.Context, kind string, object entity.Object) error {
	switch kind {
	case "routes":
		return compilableAs(object, func(route *entity.Route) error {
			_, err := router.Compile([]router.Entry{{Route: route}})
			return err
		})
	case "services":
		return compilableAs(object, func(service *entity.Service) error { return a.knowsAuthorities(ctx, service) })
	case "targets":
		return compilableAs(object, hasPort)
	case "certificates":
		return compilableAs(object, isPair)
	case "plugins":
		return compilableAs(object, a.startsPlugin)
	}
	return nil
}

func compilableAs[T any](object entity.Object, check func(*T) error) error {
	var decoded T
	if err := entity.Decode(object, &decoded); err != nil {
		return err
	}
	return check(&decoded)
}

func (a *app) knowsAuthorities(ctx context.Context, service *entity.Service) error {
	for _, id := range service.CACertificates {
		authority, err := a.db.Get(ctx, "ca_certificates", id)
		if err != nil {
			return err
		}
		if authority == nil {
			return fmt.Errorf("ca_certificates: there is no CA certificate %s", id)
		}
	}
	return nil
}

func hasPort(target *entity.Target) error {
	_, port, err := net.SplitHostPort(target.Target)
	if number, numberErr := strconv.ParseUint(port, 10, 16); err != nil || numberErr != nil || number == 0 {
		return fmt.Errorf("target %s: its port is not between 1 and 65535", target.Target)
	}
	return nil
}

// isPair says nothing of what it could not read: it may be a secret.
func isPair(certificate *entity.Certificate) error {
	_, err := tls.X509KeyPair([]byte(certificate.Cert), []byte(certificate.Key))
	if err == nil && certificate.CertAlt != "" && certificate.KeyAlt != "" {
		_, err = tls.X509KeyPair([]byte(certificate.CertAlt), []byte(certificate.KeyAlt))
	}
	if err != nil {
		return errors.New("certificate and key are no pair that can be used; references to vaults are not")
	}
	return nil
}

// startsPlugin makes an instance and closes it.
func (a *app) startsPlugin(p *entity.Plugin) error {
	definition, known := a.registry.Lookup(p.Name)
	if !known || definition.New == nil || !p.Enabled {
		return nil
	}
	instance, err := definition.New(p, plugin.Env{
		Logger: slog.New(slog.DiscardHandler), HasUpstream: func(string) bool { return true }, Plugins: []*entity.Plugin{p},
	})
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if closer, ok := instance.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}
