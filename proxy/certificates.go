package proxy

import (
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"sidekong/configs"
	"sidekong/configs/entity"
)

// Certificate finds the certificate that the configuration has for the server name that a client asks for. It is for
// tls.Config.GetCertificate; nil without an error stands for the listener's own. Where what is stored for the name cannot
// be shown, the handshake fails.
//
// Kong: kong/runloop/certificate.lua execute, find_certificate
func (g *Gateway) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	rt := g.current.Load()
	if rt == nil || hello.ServerName == "" || len(rt.certificates) == 0 {
		return nil, nil //nolint:nilnil // which means the listener's own
	}
	anyName := *hello
	anyName.ServerName = "" // what a certificate is shown for is the configuration's choice
	for _, name := range sniNames(hello.ServerName) {
		pairs, configured := rt.certificates[name]
		if configured && len(pairs) == 0 {
			return nil, errNoPair
		}
		for _, pair := range pairs {
			if anyName.SupportsCertificate(pair) == nil {
				return pair, nil
			}
		}
		if len(pairs) > 0 {
			return pairs[0], nil // the client will say what it has against it
		}
	}
	return nil, nil //nolint:nilnil // likewise
}

// sniNames are the names of SNI entities that fit a server name, the best first: itself, *.example.com, www.example.*
// and the default *. A wildcard at the front stands for one label before at least two.
//
// Kong: kong/runloop/certificate.lua produce_wild_snis
func sniNames(server string) []string {
	server = strings.ToLower(server)
	names := []string{server}
	if _, rest, ok := strings.Cut(server, "."); ok && strings.Contains(rest, ".") {
		names = append(names, "*."+rest)
	}
	if dot := strings.LastIndexByte(server, '.'); dot > 0 {
		names = append(names, server[:dot]+".*")
	}
	return append(names, "*")
}

// certificates are the pairs to show, by SNI. A certificate has two pairs where it has cert_alt, and none where it is at
// fault.
func certificates(snapshot *configs.Snapshot, faults *Faults) map[string][]*tls.Certificate {
	bySNI := make(map[string][]*tls.Certificate, len(snapshot.SNIs))
	byID := map[string][]*tls.Certificate{}
	for _, sni := range snapshot.SNIs {
		id := sni.Certificate.ID
		pairs, known := byID[id]
		if !known {
			var err error
			if stored, ok := snapshot.Certificate(id); !ok {
				faults.add("sni", sni.ID, sni.Name, fmt.Errorf("certificate %s does not exist", id))
			} else if pairs, err = keyPairs(stored); err != nil {
				faults.add("certificate", id, "", err)
			}
			byID[id] = pairs
		}
		bySNI[strings.ToLower(sni.Name)] = pairs
	}
	return bySNI
}

// keyPairs gives a certificate's pairs, one with an ECDSA key first: what supports it is spared RSA, as with OpenSSL.
func keyPairs(stored *entity.Certificate) ([]*tls.Certificate, error) {
	pair, err := x509KeyPair(stored.Cert, stored.Key)
	if err != nil {
		return nil, err
	}
	if stored.CertAlt == "" || stored.KeyAlt == "" {
		return []*tls.Certificate{pair}, nil
	}
	alt, err := x509KeyPair(stored.CertAlt, stored.KeyAlt)
	if err != nil {
		return nil, fmt.Errorf("cert_alt: %w", err)
	}
	if _, elliptic := alt.PrivateKey.(*ecdsa.PrivateKey); elliptic {
		return []*tls.Certificate{alt, pair}, nil
	}
	return []*tls.Certificate{pair, alt}, nil
}

var (
	errNoPair = errors.New("the certificate that is configured for this name cannot be shown")
	errVault  = errors.New("certificate and key are references to a vault, which are not resolved")
)

// x509KeyPair reads a certificate and its key. Its errors hold nothing of either.
func x509KeyPair(cert, key string) (*tls.Certificate, error) {
	if strings.HasPrefix(cert, "{vault://") || strings.HasPrefix(key, "{vault://") {
		return nil, errVault
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return nil, err
	}
	return &pair, nil
}
