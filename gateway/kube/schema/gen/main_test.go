package main

import (
	"slices"
	"testing"

	definitions "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration"
	"k8s.io/client-go/applyconfigurations"
	services "k8s.io/kube-aggregator/pkg/client/applyconfiguration"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/kube/schema"
)

func TestSchemaIsOfToday(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := schema.MergeSource()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("gateway/kube/schema/merge.yaml.gz is not what the kinds and client-go give: go generate ./gateway/kube/schema")
	}
}

// What is embedded must judge every kind as client-go's own schema does.
func TestSchemaIsClientGos(t *testing.T) {
	ours, err := schema.Merge(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Concat(events.Kinds, events.OlderKinds, events.NoteKinds) {
		o := k.New()
		o.SetName("x")
		o.GetObjectKind().SetGroupVersionKind(k.GVK())
		a, err := ours.ObjectToTyped(o)
		if err != nil {
			t.Errorf("%s: %v", k.Resource, err)
			continue
		}
		theirs, more := applyconfigurations.NewTypeConverter(known), []string{"io.k8s.api.core.v1.Container", "io.k8s.api.core.v1.ServiceSpec"}
		switch k.Resource {
		case events.Definitions:
			theirs, more = definitions.NewTypeConverter(known), nil
		case events.APIServices:
			theirs, more = services.NewTypeConverter(known), nil
		}
		b, err := theirs.ObjectToTyped(o)
		if err != nil {
			t.Fatal(err)
		}
		ref := a.TypeRef()
		for _, name := range append(more, *ref.NamedType) {
			mine, ok := a.Schema().FindNamedType(name)
			if !ok {
				t.Errorf("%s: no type %s", k.Resource, name)
				continue
			}
			its, _ := b.Schema().FindNamedType(name)
			if !mine.Equals(&its) {
				t.Errorf("%s: type %s differs from client-go's", k.Resource, name)
			}
		}
	}
}
