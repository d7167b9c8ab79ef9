package shown

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SandboxList is an answer that lists sandboxes.
func SandboxList(all []*cri.PodSandbox) (*cri.ListPodSandboxResponse, error) {
	out := &cri.ListPodSandboxResponse{}
	return out, encode(out, "items", all)
}

// ContainerList is an answer that lists containers.
func ContainerList(all []*cri.Container) (*cri.ListContainersResponse, error) {
	out := &cri.ListContainersResponse{}
	return out, encode(out, "containers", all)
}

// encode puts a list into an answer as it goes over the wire, and takes the labels and
// annotations out of what it lists. A kubelet asks for all of its pods every second, and
// protobuf-go encodes maps by reflection, with two allocations for each entry: two thirds of
// the time that a list took. What is already encoded is what a message calls unknown.
func encode[T interface {
	proto.Message
	GetLabels() map[string]string
	GetAnnotations() map[string]string
}](into proto.Message, field protoreflect.Name, all []T) error {
	if len(all) == 0 {
		return nil
	}
	number := into.ProtoReflect().Descriptor().Fields().ByName(field).Number()
	fields := all[0].ProtoReflect().Descriptor().Fields()
	labels, annotations := fields.ByName("labels"), fields.ByName("annotations")
	var b []byte
	for _, one := range all {
		its, notes := one.GetLabels(), one.GetAnnotations()
		one.ProtoReflect().Clear(labels)
		one.ProtoReflect().Clear(annotations)
		size := proto.Size(one) + sizeMap(labels.Number(), its) + sizeMap(annotations.Number(), notes)
		if b == nil { // most are as long as the first
			b = make([]byte, 0, (size+16)*len(all))
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.BytesType), uint64(size))
		var err error
		if b, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, one); err != nil {
			return err
		}
		b = appendMap(appendMap(b, labels.Number(), its), annotations.Number(), notes)
	}
	into.ProtoReflect().SetUnknown(b)
	return nil
}

// An entry of a map is a message with its key and its value (protobuf's encoding guide).
const key, val protowire.Number = 1, 2

func sizeEntry(k, v string) int {
	return protowire.SizeTag(key) + protowire.SizeBytes(len(k)) + protowire.SizeTag(val) + protowire.SizeBytes(len(v))
}

func sizeMap(number protowire.Number, m map[string]string) (n int) {
	for k, v := range m {
		n += protowire.SizeTag(number) + protowire.SizeBytes(sizeEntry(k, v))
	}
	return n
}

func appendMap(b []byte, number protowire.Number, m map[string]string) []byte {
	for k, v := range m {
		b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.BytesType), uint64(sizeEntry(k, v)))
		b = protowire.AppendString(protowire.AppendTag(b, key, protowire.BytesType), k)
		b = protowire.AppendString(protowire.AppendTag(b, val, protowire.BytesType), v)
	}
	return b
}
