// Holds Kubernetes manifests (standard input) against the Pod Security Standard "restricted", by Kubernetes' own code.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// What StatefulSets, Deployments and Jobs have in common.
type workload struct {
	Kind     string
	Metadata metav1.ObjectMeta
	Spec     struct{ Template *corev1.PodTemplateSpec }
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	fail(err)
	text, err := io.ReadAll(os.Stdin)
	fail(err)
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	refused := false
	for {
		var found workload
		if err := documents.Decode(&found); errors.Is(err, io.EOF) {
			break
		} else {
			fail(err)
		}
		if found.Spec.Template == nil {
			continue
		}
		pod := found.Spec.Template
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		fmt.Printf("%s %s\n", found.Kind, found.Metadata.Name)
		if !result.Allowed {
			refused = true
			fmt.Fprintf(os.Stderr, "%s %s: %s: %s\n", found.Kind, found.Metadata.Name, result.ForbiddenReason(), result.ForbiddenDetail())
		}
	}
	if refused {
		os.Exit(1)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
