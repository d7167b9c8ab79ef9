// Package call is what those who want something of a registry say and hear: credentials,
// options, progress. It is apart from the client, so that who only asks the daemon does
// not link what speaks with registries.
package call

// Auth are credentials for one registry; the zero value is none. The fields are those
// of CRI's AuthConfig and of Docker's config.json.
type Auth struct {
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Auth is base64 of "username:password", instead of the two.
	Auth string `json:"auth,omitempty"`
	// ServerAddress names the registry they are for; empty is the one of the image.
	ServerAddress string `json:"serveraddress,omitempty"`
	// IdentityToken gets access tokens from the token server.
	IdentityToken string `json:"identitytoken,omitempty"`
	// RegistryToken is an access token itself.
	RegistryToken string `json:"registrytoken,omitempty"`
}

// String hides everything: credentials must not get into a log by accident.
func (a Auth) String() string { return "credentials" }

// Step is what is being done about a layer or an image.
type Step string

// The steps of a layer, in their order, and those of the image as a whole.
const (
	Waiting     Step = "waiting"
	Downloading Step = "downloading"
	Unpacking   Step = "unpacking"
	Pulled      Step = "pulled"
	Exists      Step = "exists"
	Packing     Step = "packing"
	Uploading   Step = "uploading"
	Pushed      Step = "pushed"
	Mounted     Step = "mounted"

	// Found is the digest that the reference leads to, in Text.
	Found Step = "found"
	// Retrying says in Text why, and how long that takes.
	Retrying Step = "retrying"
	// Warning is something the user should know, in Text.
	Warning Step = "warning"
)

// Progress is the newest about one layer, or about the image when Layer is empty.
type Progress struct {
	// Layer is the first 12 digits of the blob's digest.
	Layer string `json:"layer,omitempty"`
	Step  Step   `json:"step"`
	// Done and Total are bytes of the blob: downloaded, unpacked or uploaded.
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
}

// PullOptions say how an image is pulled.
type PullOptions struct {
	// Platform is "os/architecture[/variant]"; empty is this machine's.
	Platform string
	Auth     Auth
	// Progress is told what happens, from one goroutine at a time and for no longer than
	// the call; nil is allowed. It may be slow.
	Progress func(Progress)
}

// PushOptions say how an image is pushed; see PullOptions.
type PushOptions struct {
	Auth     Auth
	Progress func(Progress)
}
