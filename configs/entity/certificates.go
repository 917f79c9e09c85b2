package entity

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kong: kong/db/schema/entities/certificates.lua
func certificatesSchema() *Schema {
	return &Schema{
		kind: "certificates",
		record: &Record{
			Fields: []Field{
				idField,
				createdAtField,
				updatedAtField,
				{Name: "cert", Type: String, Required: true, Referenceable: true, Check: Text(checkCertificate)},
				{
					Name: "key", Type: String, Required: true, Referenceable: true, Encrypted: true,
					Check: Text(checkKey),
				},
				{Name: "cert_alt", Type: String, Referenceable: true, Check: Text(checkCertificate)},
				{Name: "key_alt", Type: String, Referenceable: true, Encrypted: true, Check: Text(checkKey)},
				tagsField,
				{Name: "snis", Type: Array, Elements: &Field{Type: String, Check: Text(checkWildcardHost)}},
			},
			Checks: []Check{
				MutuallyRequired("cert_alt", "key_alt"),
				matchingKey("cert", "key", "certificate does not match key"),
				matchingKey("cert_alt", "key_alt", "alternative certificate does not match key"),
				Custom([]string{"cert", "cert_alt"}, func(data Object) string {
					cert, alternative := certificateIn(data["cert"]), certificateIn(data["cert_alt"])
					if cert == nil || alternative == nil || cert.PublicKeyAlgorithm != alternative.PublicKeyAlgorithm {
						return ""
					}
					return "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), " +
						"the provided certificates were both of the same type"
				}),
			},
		},
		prepare: prepareSNIs,
		transform: func(data, _ Object) {
			if data["snis"] == nil {
				data["snis"] = []any{}
			}
		},
	}
}

// Kong: kong/db/schema/entities/snis.lua
func snisSchema() *Schema {
	name := required(wildcardHostField("name"))
	name.Unique = true
	return &Schema{kind: "snis", record: &Record{Fields: []Field{
		idField,
		name,
		createdAtField,
		updatedAtField,
		tagsField,
		required(referenceField("certificate", "certificates")),
	}}}
}

// Kong: kong/db/schema/entities/ca_certificates.lua
func caCertificatesSchema() *Schema {
	return &Schema{
		kind: "ca_certificates",
		record: &Record{
			Fields: []Field{
				idField,
				createdAtField,
				updatedAtField,
				{Name: "cert", Type: String, Required: true, Check: Text(checkCertificate)},
				{Name: "cert_digest", Type: String, Unique: true},
				tagsField,
			},
			Checks: []Check{Custom([]string{"cert"}, checkAuthority)},
		},
		transform: func(data, input Object) {
			if _, given := input["cert"]; given {
				sum := sha256.Sum256(certificateIn(data["cert"]).Raw)
				data["cert_digest"] = hex.EncodeToString(sum[:])
			}
		},
	}
}

// Kong: kong/db/dao/tags.lua
func tagsSchema() *Schema {
	return &Schema{
		kind:   "tags",
		record: &Record{Fields: []Field{{Name: "tag", Type: String}}},
		prepare: func(*scope, Object) *Error {
			return violation(Object{"tags": "does not support insert/upsert/update/delete operations"})
		},
	}
}

// prepareSNIs sorts the names of a certificate and refuses those that are given twice or belong to another one.
// Kong: kong/db/dao/certificates.lua parse_name_list
func prepareSNIs(s *scope, data Object) *Error {
	value, given := data["snis"]
	list, ok := asList(value)
	if !ok {
		if given && value == nil {
			data["snis"] = []any{}
		}
		return nil
	}
	for i, item := range list {
		name, isText := item.(string)
		if !isText {
			return nil // the schema refuses it
		}
		if contains(list[:i], name) {
			return violation(Object{"snis": name + " is duplicated"})
		}
	}
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	for _, item := range list {
		name := item.(string)
		if text := checkWildcardHost(name); text != "" || name == "" {
			if name == "" {
				text = "length must be at least 1"
			}
			return &Error{Code: CodeUnique, Name: "invalid unique name", Message: text}
		}
		if err := s.nameTaken(name); err != nil {
			return err
		}
	}
	return nil
}

// Kong: kong/db/dao/snis.lua check_list_is_new
func (s *scope) nameTaken(name string) *Error {
	if s.schemas.lookup == nil {
		return nil
	}
	sni, found := s.schemas.lookup.Find("snis", "name", name)
	if !found {
		return nil
	}
	certificate, _ := sni["certificate"].(Object)
	if certificate["id"] == s.id {
		return nil
	}
	return violation(Object{
		"snis": fmt.Sprintf("%s already associated with existing certificate '%v'", name, certificate["id"]),
	})
}

func matchingKey(certField, keyField, text string) Check {
	return Custom([]string{certField, keyField}, func(data Object) string {
		cert := certificateIn(data[certField])
		keyText, _ := data[keyField].(string)
		key, err := parseKey(keyText)
		if cert == nil || err != nil {
			return ""
		}
		public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !public.Equal(cert.PublicKey) {
			return text
		}
		return ""
	})
}

func checkAuthority(data Object) string {
	text, _ := data["cert"].(string)
	if strings.Count(text, "-----BEGIN CERTIFICATE-----") > 1 {
		return "please submit only one certificate at a time"
	}
	cert := certificateIn(text)
	switch {
	case cert == nil:
		return ""
	case cert.NotAfter.Before(time.Now()):
		return `certificate expired, "Not After" time is in the past`
	case !cert.IsCA:
		return `certificate does not appear to be a CA because it is missing the "CA" basic constraint`
	}
	return ""
}

func checkCertificate(text string) string {
	if _, err := parseCertificate(text); err != nil {
		return "invalid certificate: " + err.Error()
	}
	return ""
}

func checkKey(text string) string {
	if _, err := parseKey(text); err != nil {
		return "invalid key: " + err.Error()
	}
	return ""
}

// certificateIn returns the certificate that a value holds, nil if it holds none.
func certificateIn(value any) *x509.Certificate {
	text, _ := value.(string)
	cert, err := parseCertificate(text)
	if err != nil {
		return nil
	}
	return cert
}

func parseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return cert, nil
}

// parseKey reads a private key, skipping the blocks that may stand before it. Its errors say nothing about the key.
func parseKey(text string) (crypto.Signer, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no PEM block with a private key")
		}
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("malformed " + strings.ToLower(block.Type))
		}
		return signer, nil
	}
}
