package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/ref"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text  string
		kind  fault.Kind
		words string
	}{
		{`{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker-daemon":{"":[{"type":"insecureAcceptAnything"}]}}}`, 0, ""},
		{`{`, fault.Invalid, ""},
		{`{}`, fault.Invalid, "default"},
		{`{"default":[]}`, fault.Invalid, "no requirement"},
		{`{"default":[{"type":"signedBy"}]}`, fault.Unsupported, "signedBy"},
		{`{"default":[{"type":"sigstoreSigned"}]}`, fault.Invalid, "keyPath"},
		{`{"default":[{"type":"sigstoreSigned","keyPath":"a","rekorPublicKeyPath":"b"}]}`, fault.Invalid, "rekorPublicKeyPath"},
		{`{"default":[{"type":"sigstoreSigned","keyPath":"a","signedIdentity":{"type":"remapIdentity"}}]}`, fault.Unsupported, "remapIdentity"},
	} {
		_, err := Parse(strings.NewReader(test.text))
		if test.kind == 0 && err != nil || test.kind != 0 && (!fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"default":[{"type":"reject"}],"transports":{"docker":{"a.b/c":[{"type":"sigstoreSigned","keyData":"eA=="}]}}}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = Parse(bytes.NewReader(text)) })
}

// What is required goes by the image itself, else by the longest name that fits.
func TestFor(t *testing.T) {
	p, err := Parse(strings.NewReader(`{"default":[{"type":"reject"}],"transports":{"docker":{
		"quay.io/team/app":[{"type":"sigstoreSigned","keyData":"eA=="}],
		"quay.io/team/app:bad":[{"type":"reject"}],
		"quay.io/team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":[{"type":"insecureAcceptAnything"}],
		"quay.io/team":[{"type":"reject"}],
		"quay.io":[{"type":"insecureAcceptAnything"}],
		"*.example.com":[{"type":"insecureAcceptAnything"}],
		"docker.io/library":[{"type":"insecureAcceptAnything"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"quay.io/team/app:1": signed, "quay.io/team/app:bad": rejectAll,
		"quay.io/team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": acceptAnything,
		"quay.io/team/other": rejectAll, "quay.io/x": acceptAnything,
		"a.example.com/x": acceptAnything, "a.b.example.com/x": acceptAnything, "example.com/x": rejectAll,
		"alpine": acceptAnything, "user/alpine": rejectAll, "localhost:5000/x": rejectAll,
	} {
		r, err := ref.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		q := p.For(r)
		if q.rules[0].Type != want || q.NeedsSignatures() != (want == signed) {
			t.Errorf("%s: %s, want %s", name, q.rules[0].Type, want)
		}
		if err := q.Check(nil, nil, nil); (err != nil) != (want != acceptAnything) || err != nil && want == rejectAll && !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, _ := ref.Parse("anything") // a name
	if err := (Policy{}).For(r).Check(nil, nil, nil); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

func TestNamed(t *testing.T) {
	const hex = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, test := range []struct {
		pulled, signed string
		want           *identity
		ok             bool
	}{
		{"quay.io/a:1", "quay.io/a", nil, false},
		{"quay.io/a", "quay.io/a", nil, false},
		{"quay.io/a", "quay.io/a:latest", nil, true},
		{"quay.io/a:1", "quay.io/a", &identity{Type: "matchRepository"}, true},
		{"quay.io/a@" + hex, "quay.io/a", nil, true},
		{"quay.io/a@" + hex, "quay.io/b", nil, false},
		{"quay.io/a:1", "quay.io/a:1", nil, true},
		{"quay.io/a:1", "quay.io/a:2", nil, false},
		{"quay.io/a@" + hex, "quay.io/a:2", nil, true},
		{"reg:5000/a:1", "reg:5000/a", nil, false},
		{"reg:5000/a:1", "reg:5000/a:1", nil, true},
		{"quay.io/a:1", "quay.io/b", nil, false},
		{"quay.io/a:1", "quay.io/a:2", &identity{Type: "matchRepository"}, true},
		{"quay.io/a:1", "mirror.io/b", &identity{Type: "exactRepository", DockerRepository: "mirror.io/b"}, true},
		{"quay.io/a:1", "quay.io/a", &identity{Type: "exactRepository", DockerRepository: "mirror.io/b"}, false},
		{"quay.io/a:1", "quay.io/a:9", &identity{Type: "exactReference", DockerReference: "quay.io/a:9"}, true},
		{"quay.io/a:1", "quay.io/a:1", &identity{Type: "exactReference", DockerReference: "quay.io/a:9"}, false},
	} {
		pulled, err := ref.Parse(test.pulled)
		if err != nil {
			t.Fatal(err)
		}
		name, err := ref.Parse(test.signed)
		if err != nil {
			t.Fatal(err)
		}
		if err := (Requirement{ref: pulled}).named(test.want, name, test.signed); (err == nil) != test.ok {
			t.Errorf("%s signed as %s, %+v: %v", test.pulled, test.signed, test.want, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, text := range []string{"", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"} {
		if _, err := parseKey([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	if _, err := (Signature{Base64: "!"}).claims(nil); err == nil {
		t.Error("a signature that is no base64 is right")
	}
}

// A statement about nothing is no signature of anything, and the refusal says so.
func TestStatementWithoutSubject(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	said := []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1"}`)
	text, err := json.Marshal(map[string]any{"dsseEnvelope": map[string]any{
		"payloadType": statementType, "payload": said,
		"signatures": []any{map[string]any{"sig": ed25519.Sign(private, preAuth(statementType, said))}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := (Signature{Bundle: text}).claims(keyring{public}); err == nil || len(all) > 0 {
		t.Errorf("it says %v, %v", all, err)
	}
}

// Whatever a bundle holds, without a key of the policy it says nothing.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`))
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := (Signature{Bundle: text}).claims(keyring{public}); err == nil || len(all) > 0 {
			t.Errorf("%q says %v", text, all)
		}
	})
}
