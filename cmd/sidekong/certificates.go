package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sidekong/configs/settings"
)

// recheckInterval is how long a listener's certificate files are taken to be unchanged.
const recheckInterval = 2 * time.Second

// serverTLS makes the TLS side of listeners from certificates; without any it signs one of its own. Files that change
// are read anew at a later handshake.
func serverTLS(pairs []settings.KeyPair, minVersion, maxVersion uint16, logger *slog.Logger) (*tls.Config, error) {
	config := &tls.Config{MinVersion: minVersion, MaxVersion: maxVersion}
	if len(pairs) == 0 {
		certificate, err := selfSigned(time.Now())
		if err != nil {
			return nil, fmt.Errorf("sign certificate: %w", err)
		}
		logger.Info("no ssl_cert is set: TLS listeners show a certificate that Sidekong signed itself")
		config.Certificates = []tls.Certificate{certificate}
		return config, nil
	}
	own, err := newCertificates(pairs, logger)
	if err != nil {
		return nil, err
	}
	config.GetCertificate = own.choose
	return config, nil
}

// preferring gives a config whose listeners show the certificate that chosen names. Where it names none, or chosen is
// nil, they show their own.
func preferring(chosen func(*tls.ClientHelloInfo) (*tls.Certificate, error), config *tls.Config) *tls.Config {
	if config == nil || chosen == nil {
		return config
	}
	config = config.Clone()
	// crypto/tls does not ask GetCertificate for clients that name no server where it has Certificates.
	own, fixed := config.GetCertificate, config.Certificates
	config.Certificates = nil
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if certificate, err := chosen(hello); certificate != nil || err != nil {
			return certificate, err
		}
		if own != nil {
			return own(hello)
		}
		return suitable(fixed, hello)
	}
	return config
}

// certificates are a listener's own, from files that may change. It is safe for use by several goroutines.
type certificates struct {
	logger  *slog.Logger
	pairs   []settings.KeyPair
	now     func() time.Time
	current atomic.Pointer[[]tls.Certificate]
	next    atomic.Int64 // time in nanoseconds after which the files are looked at again

	mu     sync.Mutex
	stamps []stamp // of the files when they were last read, also where they were at fault
}

// stamp tells one version of a pair's files from another.
type stamp struct{ cert, key os.FileInfo }

func newCertificates(pairs []settings.KeyPair, logger *slog.Logger) (*certificates, error) {
	c := &certificates{logger: logger, pairs: pairs, now: time.Now, stamps: make([]stamp, len(pairs))}
	loaded := make([]tls.Certificate, len(pairs))
	for i, pair := range pairs {
		c.stamps[i] = stampOf(pair) // before reading: a change in between is found later
		var err error
		if loaded[i], err = loadPair(pair); err != nil {
			return nil, err
		}
	}
	c.current.Store(&loaded)
	c.next.Store(c.now().Add(recheckInterval).UnixNano())
	return c, nil
}

// choose is for tls.Config.GetCertificate.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.refresh()
	return suitable(*c.current.Load(), hello)
}

// suitable gives the first certificate that the client can use, or the first of all, as crypto/tls does.
func suitable(certificates []tls.Certificate, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	for i := range certificates {
		if len(certificates) > 1 && hello.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i], nil
		}
	}
	return &certificates[0], nil
}

// refresh reads the files that have changed, if it is time to look. One handshake does, the others go on with what
// there is. A pair that cannot be read, or whose halves do not belong together, leaves the old one in use.
func (c *certificates) refresh() {
	now, next := c.now(), c.next.Load()
	if now.UnixNano() < next || !c.next.CompareAndSwap(next, now.Add(recheckInterval).UnixNano()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var loaded []tls.Certificate
	for i, pair := range c.pairs {
		seen := stampOf(pair)
		if same(seen.cert, c.stamps[i].cert) && same(seen.key, c.stamps[i].key) {
			continue
		}
		c.stamps[i] = seen
		certificate, err := loadPair(pair)
		if err != nil {
			c.logger.Error("the old certificate stays in use: the new one is at fault", "file", pair.Cert, "error", err)
			continue
		}
		if loaded == nil {
			loaded = append(loaded, *c.current.Load()...)
		}
		loaded[i] = certificate
		c.logger.Info("certificate read anew", "file", pair.Cert, "not_after", certificate.Leaf.NotAfter)
	}
	if loaded != nil {
		c.current.Store(&loaded)
	}
}

func stampOf(pair settings.KeyPair) stamp { return stamp{fileInfo(pair.Cert), fileInfo(pair.Key)} }

// fileInfo is nil for a file that is not there and for PEM text.
func fileInfo(setting string) os.FileInfo {
	if isPEM(setting) {
		return nil
	}
	info, err := os.Stat(setting)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// loadPair reads a certificate and its key, each a path or PEM text.
func loadPair(pair settings.KeyPair) (tls.Certificate, error) {
	cert, err := readPEM(pair.Cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := readPEM(pair.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate key: %w", err)
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("load certificate: %w", err)
	}
	return certificate, nil
}

// readPEM gives the PEM text of a setting that holds it, or names a file that does.
func readPEM(setting string) ([]byte, error) {
	if isPEM(setting) {
		return []byte(setting), nil
	}
	return os.ReadFile(setting)
}

func isPEM(setting string) bool { return strings.Contains(setting, "-----BEGIN") }

// selfSigned makes a certificate for localhost, good for a year.
func selfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost", Organization: []string{"Sidekong"}},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
