// Command guard is webhooks in a pod. It serves HTTPS on 8443 with the certificate in
// /tls: /see adds a word to ConfigMaps, /bar refuses those that are bad, and every
// deletion; /mesh adds a container to pods; /turn converts lamps, whose watts of v1 are the power of v2. Toys are an API of its own.
// `guard idle` does nothing.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

type review struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Request    *request       `json:"request,omitempty"`
	Response   map[string]any `json:"response,omitempty"`
}

type request struct {
	UID       string `json:"uid"`
	Name      string `json:"name"`
	Operation string `json:"operation"`
	UserInfo  struct {
		Username string `json:"username"`
	} `json:"userInfo"`
	Object struct {
		Data map[string]string `json:"data"`
	} `json:"object"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "idle" {
		time.Sleep(time.Hour)
	}
	http.HandleFunc("POST /see", answering(see))
	http.HandleFunc("POST /mesh", answering(mesh))
	http.HandleFunc("POST /bar", answering(bar))
	http.HandleFunc("POST /turn", turn)
	serveToys()
	server := &http.Server{Addr: ":8443", ReadHeaderTimeout: 10 * time.Second, TLSConfig: front()}
	fmt.Println(server.ListenAndServeTLS("/tls/tls.crt", "/tls/tls.key"))
	os.Exit(1)
}

func answering(answer func(*request) map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v review
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil || v.Request == nil {
			http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
			return
		}
		fmt.Println(r.URL.Path, v.Request.Operation, v.Request.Name, "by", v.Request.UserInfo.Username)
		v.Response = answer(v.Request)
		v.Response["uid"] = v.Request.UID
		v.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // who left needs no answer
	}
}

func turn(w http.ResponseWriter, r *http.Request) {
	var v struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Request    struct {
			UID     string           `json:"uid"`
			To      string           `json:"desiredAPIVersion"`
			Objects []map[string]any `json:"objects"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	from, to := "watt", "power"
	if v.Request.To == "shop.example.com/v1" {
		from, to = to, from
	}
	for _, o := range v.Request.Objects {
		o["apiVersion"] = v.Request.To
		if spec, ok := o["spec"].(map[string]any); ok {
			spec[to] = spec[from]
			delete(spec, from)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": v.APIVersion, "kind": v.Kind, "response": map[string]any{
		"uid": v.Request.UID, "result": map[string]any{"status": "Success"}, "convertedObjects": v.Request.Objects}}) // as above
}

func see(r *request) map[string]any {
	if r.Object.Data == nil || r.Object.Data["seen"] != "" {
		return map[string]any{"allowed": true}
	}
	return map[string]any{"allowed": true, "patchType": "JSONPatch", "patch": []byte(`[{"op":"add","path":"/data/seen","value":"yes"}]`)}
}

func mesh(*request) map[string]any {
	return map[string]any{"allowed": true, "patchType": "JSONPatch", "patch": []byte(`[{"op":"add","path":"/spec/containers/-",
		"value":{"name":"proxy","image":"guard:test","imagePullPolicy":"Never","command":["/guard","idle"]}}]`)}
}

func bar(r *request) map[string]any {
	if r.Operation == "DELETE" || r.Object.Data["bad"] != "" {
		return map[string]any{"allowed": false, "status": map[string]any{"message": "not while I am here"}}
	}
	return map[string]any{"allowed": true, "warnings": []string{"looked at " + r.Name}}
}
