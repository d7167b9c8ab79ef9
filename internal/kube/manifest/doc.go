// Package manifest reads Kubernetes Pod manifests and says them in carob's words.
// It does no I/O but reading the manifest itself.
//
// Parse reads YAML or JSON and refuses what it does not understand: a field that
// Kubernetes does not know, a field that carob does not honour, and a value the API
// server would not take are errors that name the field's path. Fields that have no
// meaning on one machine are accepted and become warnings. Which field is what
// stands in the table of fields.go; it is held by reflection against every field
// that a manifest sets, so that what is not in the table is refused, and
// docs/manifest.md is made from it.
//
// Translate turns a manifest and facts about the machine into spec.Pod,
// spec.Container and volumes.
package manifest
