package manifest

import "reflect"

// level is what carob does with a field of the Kubernetes API.
type level uint8

// The levels. A field that is not in the table is refused: what Kubernetes adds
// tomorrow is an error until someone decides.
const (
	refused level = iota
	supported
	noEffect
)

// rule is the table's word on one field.
type rule struct {
	level level
	// only lists the values of a string field that are taken.
	only []string
	// note goes into messages and docs/manifest.md.
	note string
}

// full marks fields that are honoured whole, whatever their value.
func full(names ...string) map[string]rule {
	m := map[string]rule{}
	for _, n := range names {
		m[n] = rule{level: supported}
	}
	return m
}

func with(m map[string]rule, name string, r rule) map[string]rule {
	m[name] = r
	return m
}

func also(note string) rule    { return rule{level: supported, note: note} }
func ignored(note string) rule { return rule{level: noEffect, note: note} }
func never(note string) rule   { return rule{level: refused, note: note} }
func oneOf(note string, values ...string) rule {
	return rule{level: supported, only: values, note: note}
}

const (
	onOneMachine = "there is one machine"
	noCluster    = "there is no cluster"
	byServer     = "the API server sets it"
)

// ruleOf returns the rule for a JSON field of an API type.
func ruleOf(t reflect.Type, field string) rule { return table[t.Name()][field] }

// table says for each API type by Go name, and each of its fields by JSON name,
// what carob does with it.
var table = map[string]map[string]rule{
	"Pod": with(full("apiVersion", "kind", "metadata", "spec"),
		"status", ignored("it is an answer, not a wish")),
	"ObjectMeta": {
		"name": also(""), "labels": also(""), "annotations": also(""),
		"namespace":                  also("a name in front of the pod's; \"default\" when empty"),
		"uid":                        ignored("each pod that is made gets a new one"),
		"resourceVersion":            ignored(byServer),
		"generation":                 ignored(byServer),
		"creationTimestamp":          ignored(byServer),
		"deletionTimestamp":          ignored(byServer),
		"deletionGracePeriodSeconds": ignored(byServer),
		"managedFields":              ignored(byServer),
		"selfLink":                   ignored(byServer),
		"ownerReferences":            ignored(noCluster),
		"finalizers":                 ignored(noCluster),
		"generateName":               never("give the pod a name"),
	},
	"PodSpec": {
		"containers": also(""), "initContainers": also("restartPolicy: Always makes one a sidecar"),
		"volumes":                       also("emptyDir and hostPath"),
		"restartPolicy":                 also("Always when unset"),
		"terminationGracePeriodSeconds": also("30 when unset"),
		"hostNetwork":                   also("shares the host's UTS namespace too, as in Kubernetes"),
		"hostPID":                       also(""),
		"hostIPC":                       also(""),
		"hostUsers":                     also("unset is a user namespace of the pod's own, unless it shares another with the host"),
		"shareProcessNamespace":         also(""),
		"hostname":                      also("the pod's name when unset"),
		"hostnameOverride":              also(""),
		"hostAliases":                   also(""),
		"dnsPolicy":                     also("ClusterFirst and ClusterFirstWithHostNet mean Default: there is no cluster"),
		"dnsConfig":                     also(""),
		"securityContext":               also(""),
		"runtimeClassName":              also("names a handler"),
		"os":                            also("linux"),
		"nodeName":                      ignored(onOneMachine),
		"nodeSelector":                  ignored(onOneMachine),
		"affinity":                      ignored(onOneMachine),
		"tolerations":                   ignored(onOneMachine),
		"topologySpreadConstraints":     ignored(onOneMachine),
		"schedulerName":                 ignored(onOneMachine),
		"schedulingGates":               ignored(onOneMachine),
		"schedulingGroup":               ignored(onOneMachine),
		"priority":                      ignored(onOneMachine),
		"priorityClassName":             ignored(onOneMachine),
		"preemptionPolicy":              ignored(onOneMachine),
		"serviceAccountName":            ignored(noCluster + "; a fieldRef sees it"),
		"serviceAccount":                ignored(noCluster),
		"automountServiceAccountToken":  ignored(noCluster),
		"enableServiceLinks":            ignored(noCluster),
		"imagePullSecrets":              ignored("credentials are those of who applies: carob login"),
	},
	"Container": {
		"name": also(""), "command": also(""), "args": also(""), "workingDir": also(""),
		"image":           also("carob apply pulls it as imagePullPolicy says"),
		"imagePullPolicy": also("when unset, Always for an image of a registry with tag latest or none, else IfNotPresent"),
		"env":             also("$(VAR) is expanded here, in command and in args"),
		"ports":           also(""),
		"resources":       also(""),
		"volumeMounts":    also(""),
		"securityContext": also(""),
		"stdin":           also(""), "stdinOnce": also(""), "tty": also(""),
		"restartPolicy":            also("Always makes an init container a sidecar"),
		"lifecycle":                also("only stopSignal"),
		"resizePolicy":             ignored("limits change through carob update"),
		"terminationMessagePath":   {level: noEffect, only: []string{"/dev/termination-log"}, note: "termination messages are not collected"},
		"terminationMessagePolicy": {level: noEffect, only: []string{"File"}, note: "termination messages are not collected"},
	},
	"ContainerPort": with(full("name", "containerPort", "protocol", "hostIP"),
		"hostPort", also("with hostNetwork equal to containerPort")),
	"EnvVar":       full("name", "value", "valueFrom"),
	"EnvVarSource": full("fieldRef", "resourceFieldRef"),
	"ObjectFieldSelector": {
		"apiVersion": oneOf("", "v1"),
		"fieldPath": also("metadata.name, .namespace, .uid, .labels['KEY'], .annotations['KEY'], spec.nodeName, " +
			"spec.serviceAccountName, status.podIP, .podIPs, .hostIP, .hostIPs"),
	},
	"ResourceFieldSelector": full("containerName", "resource", "divisor"),
	"ResourceRequirements": {
		"limits":   also("memory, cpu, hugepages-SIZE; ephemeral-storage without effect"),
		"requests": also("cpu decides the share; memory and ephemeral-storage without effect"),
	},
	"Lifecycle": full("stopSignal"),
	"VolumeMount": with(with(full("name", "mountPath", "readOnly", "mountPropagation", "bindMountOptions"),
		"subPath", also("never leaves the volume; made when missing")),
		"recursiveReadOnly", also("a read-only mount always is so with all that is mounted below it, even when this says Disabled")),
	"Volume": full("name", "emptyDir", "hostPath", "image"),
	"ImageVolumeSource": {
		"reference":  also("mounted read-only and without executables, whole or a subPath of it"),
		"pullPolicy": also("when unset, Always for an image of a registry with tag latest or none, else IfNotPresent"),
	},
	"EmptyDirVolumeSource": {
		"medium":    oneOf("", "", "Memory"),
		"sizeLimit": also("only with medium: Memory"),
		"mode":      also(""),
	},
	"HostPathVolumeSource": with(full("path"),
		"type", also("a missing path is an error unless type is DirectoryOrCreate or FileOrCreate")),
	"PodSecurityContext": {
		"runAsUser": also(""), "runAsGroup": also(""), "runAsNonRoot": also(""),
		"supplementalGroups":       also(""),
		"supplementalGroupsPolicy": oneOf("", "Merge"),
		"fsGroup":                  also("of emptyDir volumes; hostPath volumes keep their owner, as in Kubernetes"),
		"fsGroupChangePolicy":      ignored("emptyDir volumes are new"),
		"sysctls":                  also("those of the pod's own namespaces"),
		"seccompProfile":           also("unset is RuntimeDefault, safer than Kubernetes' Unconfined"),
		"appArmorProfile":          also("unset is RuntimeDefault where the host runs AppArmor, as in Kubernetes"),
		"seLinuxOptions":           also(""),
	},
	"SecurityContext": {
		"runAsUser": also(""), "runAsGroup": also(""), "runAsNonRoot": also(""),
		"privileged":   also("inside the pod's user namespace unless hostUsers is true"),
		"capabilities": also(""), "allowPrivilegeEscalation": also(""), "readOnlyRootFilesystem": also(""),
		"procMount": also(""), "seccompProfile": also(""), "appArmorProfile": also(""), "seLinuxOptions": also(""),
	},
	"Capabilities":       full("add", "drop"),
	"SELinuxOptions":     full("user", "role", "type", "level"),
	"SeccompProfile":     with(full("type"), "localhostProfile", also("a file below the configured profile directory")),
	"AppArmorProfile":    full("type", "localhostProfile"),
	"Sysctl":             full("name", "value"),
	"HostAlias":          full("ip", "hostnames"),
	"PodDNSConfig":       full("nameservers", "searches", "options"),
	"PodDNSConfigOption": full("name", "value"),
	"PodOS":              with(full(), "name", oneOf("", "linux")),
}
