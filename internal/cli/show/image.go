package show

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/docker/go-units"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/spec"
)

// ImageDetails is an image in the shape of `docker image inspect`, and below
// Layers and Pinned what only carob knows.
type ImageDetails struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Comment       string
	Created       time.Time
	Author        string
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	OsVersion     string `json:",omitempty"`
	Size          int64
	Config        ImageConfig
	RootFS        RootFS
	Layers        []string
	LayerSizes    []int64
	Pinned        bool
	DockerVersion string `json:",omitempty"`
}

// ImageConfig is image-spec's and what Docker has beyond it.
type ImageConfig struct {
	spec.ImageConfig
	Healthcheck *Healthcheck `json:",omitempty"`
	OnBuild     []string     `json:",omitempty"`
	Shell       []string     `json:",omitempty"`
}

// Healthcheck is an image's own idea of how to see that it works; times in
// nanoseconds.
type Healthcheck struct {
	Test                                          []string      `json:",omitempty"`
	Interval, Timeout, StartPeriod, StartInterval time.Duration `json:",omitempty"`
	Retries                                       int           `json:",omitempty"`
}

// RootFS is what an image is made of, by the layers' diff IDs.
type RootFS struct {
	Type   string
	Layers []string
}

// document is what is shown of an image's configuration: Docker's, of which image-spec's is a
// part.
type document struct {
	Author        string      `json:"author"`
	Architecture  string      `json:"architecture"`
	Variant       string      `json:"variant"`
	OS            string      `json:"os"`
	OSVersion     string      `json:"os.version"`
	Config        ImageConfig `json:"config"`
	Comment       string      `json:"comment"`
	DockerVersion string      `json:"docker_version"`
	RootFS        struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []struct {
		Created    time.Time `json:"created"`
		CreatedBy  string    `json:"created_by"`
		Comment    string    `json:"comment"`
		EmptyLayer bool      `json:"empty_layer"`
	} `json:"history"`
}

// DockerImage shows an image in Docker's shape.
func DockerImage(m api.ImageDetails) (ImageDetails, error) {
	var doc document
	if err := json.Unmarshal(m.Document, &doc); err != nil {
		return ImageDetails{}, fault.Wrap(fault.Internal, "image "+m.ID+": configuration", err)
	}
	d := ImageDetails{
		ID: m.ID, RepoTags: m.Names, RepoDigests: m.Digests, Comment: doc.Comment, Created: m.Created, Author: doc.Author,
		Architecture: doc.Architecture, Variant: doc.Variant, Os: doc.OS, OsVersion: doc.OSVersion, Size: m.Size,
		Config: doc.Config, RootFS: RootFS{Type: doc.RootFS.Type, Layers: append([]string{}, doc.RootFS.DiffIDs...)},
		Layers: m.Layers, LayerSizes: m.LayerSizes, Pinned: m.Pinned, DockerVersion: doc.DockerVersion,
	}
	if d.RepoTags == nil {
		d.RepoTags = []string{}
	}
	if d.RepoDigests == nil {
		d.RepoDigests = []string{}
	}
	return d, nil
}

// Step is one line of an image's history. Size is -1 where it made a layer whose size
// is not known.
type Step struct {
	ID, CreatedBy, Comment string
	CreatedAt              time.Time
	Size                   int64
}

// Steps reads an image's history, the newest first. Layers that it does not tell of
// come last, for they are the oldest; an author may have left it out.
func Steps(m api.ImageDetails) ([]Step, error) {
	var doc document
	if err := json.Unmarshal(m.Document, &doc); err != nil {
		return nil, fault.Wrap(fault.Internal, "image "+m.ID+": configuration", err)
	}
	const elsewhere = "<missing>"
	var steps []Step
	left := m.LayerSizes // of the layers not told of yet, lowest first
	take := func() int64 {
		if len(left) == 0 {
			return 0
		}
		size := left[len(left)-1]
		left = left[:len(left)-1]
		return size
	}
	for i := len(doc.History) - 1; i >= 0; i-- {
		h := doc.History[i]
		s := Step{ID: elsewhere, CreatedBy: h.CreatedBy, Comment: h.Comment, CreatedAt: h.Created}
		if !h.EmptyLayer {
			s.Size = take()
		}
		steps = append(steps, s)
	}
	for len(left) > 0 {
		steps = append(steps, Step{ID: elsewhere, CreatedAt: m.Created, Size: take()})
	}
	if len(steps) > 0 {
		steps[0].ID = m.ID
	}
	return steps, nil
}

// StepRow is a step as `history --format` sees it.
type StepRow struct{ ID, CreatedSince, CreatedAt, CreatedBy, Size, Comment string }

// History shows steps. Plain sizes and dates are for programs.
func History(now time.Time, noTrunc, plain bool) Sheet[Step] {
	id, by := Short, func(s Step) string { return cut(s.CreatedBy, 45) }
	if noTrunc {
		id, by = func(s string) string { return s }, func(s Step) string { return s.CreatedBy }
	}
	at := func(s Step) string { return s.CreatedAt.Format(time.RFC3339) }
	age := func(s Step) string {
		switch {
		case s.CreatedAt.IsZero():
			return "N/A"
		case plain:
			return at(s)
		}
		return units.HumanDuration(now.Sub(s.CreatedAt)) + " ago"
	}
	size := func(s Step) string {
		if plain {
			return fmt.Sprint(s.Size)
		}
		return units.HumanSizeWithPrecision(float64(s.Size), 3)
	}
	return Sheet[Step]{
		Columns: []Column[Step]{
			{Head: "IMAGE", Text: func(s Step) string { return id(s.ID) }},
			{Head: "CREATED", Text: age},
			{Head: "CREATED BY", Text: by},
			{Head: "SIZE", Text: size},
			{Head: "COMMENT", Text: func(s Step) string { return s.Comment }},
		},
		Name: func(s Step) string { return id(s.ID) },
		Row: func(s Step) any {
			return StepRow{ID: id(s.ID), CreatedSince: age(s), CreatedAt: at(s), CreatedBy: by(s), Size: size(s), Comment: s.Comment}
		},
	}
}
