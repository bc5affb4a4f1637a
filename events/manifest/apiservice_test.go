package manifest

import (
	"fmt"
	"strings"
	"testing"

	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// An APIService breaks Kubernetes' rules in Kubernetes' words, and two of ours: it names a service, and a bundle that can be read.
func TestAPIServiceRules(t *testing.T) {
	for _, c := range []struct {
		change func(*apiregistrationv1.APIService)
		want   string
	}{
		{func(*apiregistrationv1.APIService) {}, ""},
		{func(o *apiregistrationv1.APIService) { o.Spec.CABundle = []byte("words\n" + anchorOne + leaf) }, ""},
		{func(o *apiregistrationv1.APIService) { o.Spec.InsecureSkipTLSVerify = true }, ""},
		{func(o *apiregistrationv1.APIService) { o.Name = "toys" }, "metadata.name: Invalid value: \"toys\": must be `spec.version+\".\"+spec.group`: \"v1.toys.example.com\""},
		{func(o *apiregistrationv1.APIService) { o.Name, o.Spec.Group, o.Spec.Service = "v1.", "", nil }, ""},
		{func(o *apiregistrationv1.APIService) { o.Name, o.Spec.Group, o.Spec.Service = "v1.apps", "apps", nil }, ""},
		{func(o *apiregistrationv1.APIService) {
			o.Name, o.Spec.Group, o.Spec.Service, o.Spec.CABundle = "v1.apps", "apps", nil, []byte(anchorOne)
		}, "spec.caBundle: Invalid value: \"" + fmt.Sprint(len(anchorOne)) + " bytes\": local APIServices may not have a caBundle"},
		{func(o *apiregistrationv1.APIService) {
			o.Name, o.Spec.Group, o.Spec.Service, o.Spec.InsecureSkipTLSVerify = "v1.apps", "apps", nil, true
		}, "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"},
		{func(o *apiregistrationv1.APIService) { o.Name, o.Spec.Group, o.Spec.Version = "v2.", "", "v2" }, "spec.group: Required value: only v1 may have an empty group and it better be legacy kube"},
		{func(o *apiregistrationv1.APIService) { o.Name, o.Spec.Group = "v1.A", "A" }, "spec.group: Invalid value"},
		{func(o *apiregistrationv1.APIService) { o.Name, o.Spec.Version = "1.toys.example.com", "1" }, "spec.version: Invalid value"},
		{func(o *apiregistrationv1.APIService) { o.Spec.GroupPriorityMinimum = 20001 }, "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000"},
		{func(o *apiregistrationv1.APIService) { o.Spec.VersionPriority = -1 }, "spec.versionPriority: Invalid value: -1: must be positive and less than 1000"},
		{func(o *apiregistrationv1.APIService) { o.Spec.Service = nil }, "spec.service: Required value: this group and version is not served here"},
		{func(o *apiregistrationv1.APIService) { o.Spec.Service.Name = "" }, "spec.service.name: Required value"},
		{func(o *apiregistrationv1.APIService) { o.Spec.Service.Namespace = "" }, "spec.service.namespace: Required value"},
		{func(o *apiregistrationv1.APIService) { *o.Spec.Service.Port = 70000 }, "spec.service.port: Invalid value: 70000: port is not valid"},
		{func(o *apiregistrationv1.APIService) {
			o.Spec.CABundle, o.Spec.InsecureSkipTLSVerify = []byte(anchorOne), true
		}, "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"},
		{func(o *apiregistrationv1.APIService) { o.Spec.CABundle = []byte("words") }, "spec.caBundle: Invalid value: \"<value omitted>\": unable to load root certificates: unable to parse bytes as PEM block"},
		{func(o *apiregistrationv1.APIService) {
			o.Spec.CABundle = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}, "unable to load root certificates: x509"},
	} {
		o := &apiregistrationv1.APIService{Spec: apiregistrationv1.APIServiceSpec{Group: "toys.example.com", Version: "v1", GroupPriorityMinimum: 1, VersionPriority: 1,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "toys"}}}
		o.Name = "v1.toys.example.com"
		if Default(o); *o.Spec.Service.Port != 443 {
			t.Errorf("the default port is %d", *o.Spec.Service.Port)
		}
		c.change(o)
		errs := Validate(o).ToAggregate()
		if c.want == "" && errs != nil || c.want != "" && (errs == nil || !strings.Contains(errs.Error(), c.want)) {
			t.Errorf("%v, want %q", errs, c.want)
		}
	}
	status := &apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{{Type: "Available", Status: "True"}, {Type: "x", Status: "Perhaps"}}}
	if errs := APIServiceStatus(status); len(errs) != 1 || errs[0].Field != "status.conditions[1].status" {
		t.Errorf("%v", errs)
	}
}
