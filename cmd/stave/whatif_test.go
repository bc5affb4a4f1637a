package main

import (
	"reflect"
	"testing"
)

func TestCapacity(t *testing.T) {
	have, err := capacity("cpu=4,memory=8Gi")
	if want := map[string]string{"cpu": "4", "memory": "8Gi", "pods": defaultPods}; err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("%v, %v", have, err)
	}
	if have, err := capacity("cpu=4,pods=3"); err != nil || have["pods"] != "3" {
		t.Errorf("%v, %v", have, err)
	}
	for _, typed := range []string{"", "cpu", "cpu=many", "=4", "cpu=4,"} {
		if has, err := capacity(typed); err == nil {
			t.Errorf("%q passes as %v", typed, has)
		}
	}
}

func TestScaling(t *testing.T) {
	var x scaling
	if err := x.UnmarshalText([]byte("deploy/web=50")); err != nil || x.what != "deploy/web" || x.replicas != 50 {
		t.Errorf("%+v, %v", x, err)
	}
	for _, typed := range []string{"", "web", "web=", "web=-1", "web=many", "web=99999999999"} {
		if err := x.UnmarshalText([]byte(typed)); err == nil {
			t.Errorf("%q passes as %+v", typed, x)
		}
	}
}
