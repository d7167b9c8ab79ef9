package registry

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// identity is a client's certificate and key, in PEM.
func identity(t *testing.T, name string) (parsed *x509.Certificate, cert, key []byte) {
	t.Helper()
	k := ecdsaKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return parsed, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// A registry that wants to know its clients gets the certificate that its directory has,
// in each of the forms that containerd and Docker read.
func TestClientCertificate(t *testing.T) {
	s := newServer(t)
	s.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": "1"})))
	known, cert, key := identity(t, "known")
	_, strangeCert, strangeKey := identity(t, "strange")
	secure := httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	clients := x509.NewCertPool()
	clients.AddCert(known)
	secure.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	secure.StartTLS()
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})

	const registry = "registry.invalid"
	server := fmt.Sprintf("server = %q\nca = \"ca.crt\"\n", secure.URL)
	for _, test := range []struct {
		name, registry, toml string
		files                map[string][]byte
		ok                   bool
	}{
		{"a pair", registry, server + `client = [["c.cert", "c.key"]]`, map[string][]byte{"c.cert": cert, "c.key": key}, true},
		{"one file", registry, server + `client = "both.pem"`, map[string][]byte{"both.pem": append(append([]byte{}, cert...), key...)}, true},
		{"of a mirror", registry, "server = \"https://registry.invalid\"\n[host." + fmt.Sprintf("%q", secure.URL) + "]\nca = \"ca.crt\"\nclient = [[\"c.cert\", \"c.key\"]]\n",
			map[string][]byte{"c.cert": cert, "c.key": key}, true},
		{"as Docker has it", secure.Listener.Addr().String(), "", map[string][]byte{"client.cert": cert, "client.key": key}, true},
		{"none", registry, server, nil, false},
		{"somebody else's", registry, server + `client = [["c.cert", "c.key"]]`, map[string][]byte{"c.cert": strangeCert, "c.key": strangeKey}, false},
		{"a missing file", registry, server + `client = [["c.cert", "c.key"]]`, nil, false},
		{"no key", registry, server + `client = "c.cert"`, map[string][]byte{"c.cert": cert}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t)
			dir := filepath.Join(c.c.Dir, test.registry)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "ca.crt"), ca)
			for name, text := range test.files {
				write(t, filepath.Join(dir, name), text)
			}
			if test.toml != "" {
				write(t, filepath.Join(dir, "hosts.toml"), []byte(test.toml))
			}
			if _, err := pull(t, c, test.registry+"/app:1"); (err == nil) != test.ok {
				t.Errorf("pull: %v", err)
			} else if err != nil {
				t.Log(err)
			}
		})
	}
}
