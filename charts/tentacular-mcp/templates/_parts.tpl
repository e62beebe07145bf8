{{/* The image of a part: its own settings first, then those of all. Called with a list: the root, the part's name. */}}
{{- define "tentacular.image" -}}
{{- $root := index . 0 -}}{{- $part := index . 1 -}}
{{- $own := (index $root.Values $part).image -}}
{{- $registry := $own.registry | default $root.Values.image.registry -}}
{{- $repository := $own.repository | default (printf "%s/tentacular-%s" $root.Values.image.repository $part) -}}
{{- $tag := $own.tag | default $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $repository }}:{{ $tag }}{{ with $own.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Labels of everything that makes one part up. Called with a list: the root, the part's name. */}}
{{- define "tentacular.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* What every container may do: nothing. */}}
{{- define "tentacular.securityContext" -}}
runAsUser: {{ . }}
runAsGroup: {{ . }}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The variables that all five processes share, and those of one part. Called with a list: the root, the part's name. */}}
{{- define "tentacular.env" -}}
{{- $root := index . 0 -}}{{- $own := index $root.Values (index . 1) -}}
- name: TENTACULAR_NAMESPACE
  value: {{ $root.Release.Namespace | quote }}
- name: TENTACULAR_CLUSTER_DOMAIN
  value: {{ $root.Values.clusterDomain | quote }}
- name: TENTACULAR_RESERVED_NAMES
  value: {{ join "," $root.Values.enclaves.reservedNames | quote }}
- name: TENTACULAR_INGRESS_DOMAIN
  value: {{ $root.Values.enclaves.ingressDomain | quote }}
{{- with $own.logLevel }}
- name: TENTACULAR_LOG
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* What a process is called that leads or holds locks: no other of its kind is at the same time. */}}
{{- define "tentacular.identityEnv" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- end }}

{{/* What every sidecar has besides: where the sockets are, whose calls it takes. */}}
{{- define "tentacular.sidecarEnv" -}}
- name: TENTACULAR_RUN_DIR
  value: /run/tentacular/sockets
- name: TENTACULAR_KERNEL_UID
  value: {{ .Values.kernel.uid | quote }}
{{- end }}

{{/* The module proxy, alike for the registrar, which keeps it, and the auditor, which tells of it. */}}
{{- define "tentacular.moduleProxyEnv" -}}
{{- with .Values.moduleProxy -}}
- name: TENTACULAR_PROXY_RECONCILER_DISABLED
  value: {{ not .enabled | quote }}
- name: PROXY_NAMESPACE
  value: {{ .namespace | quote }}
- name: PROXY_IMAGE
  value: {{ .image | quote }}
- name: PROXY_STORAGE_SIZE
  value: {{ .storageSize | quote }}
{{- end }}
{{- end }}

{{/* How OIDC is set, alike for the kernel, the auditor, which probes the identity provider, and the registrar, which names it. */}}
{{- define "tentacular.oidcEnv" -}}
{{- with .Values.exoskeletonAuth -}}
- name: TENTACULAR_EXOSKELETON_AUTH_ENABLED
  value: {{ .enabled | quote }}
{{- if .enabled }}
{{- if .existingSecret }}
- name: TENTACULAR_KEYCLOAK_ISSUER
  valueFrom: { secretKeyRef: { name: {{ .existingSecret | quote }}, key: issuer_url } }
{{- else }}
- name: TENTACULAR_KEYCLOAK_ISSUER
  value: {{ required "exoskeletonAuth.issuerURL is needed when exoskeletonAuth.enabled is true and there is no exoskeletonAuth.existingSecret" .issuerURL | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whom those two trust who ask the identity provider. */}}
{{- define "tentacular.oidcTrustEnv" -}}
{{- if and .Values.exoskeletonAuth.enabled .Values.exoskeletonAuth.caConfigMap -}}
- name: TENTACULAR_AUTH_CA_FILE
  value: /etc/tentacular-oidc/ca.crt
{{- end }}
{{- end }}

{{/* The probes of a part. Called with the port. A sidecar has no readiness probe: it is the kernel that says which parts are up. */}}
{{- define "tentacular.alive" -}}
startupProbe:
  httpGet: { path: /healthz, port: {{ . }} }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: {{ . }} }
  periodSeconds: 10
  failureThreshold: 3
{{- end }}

{{/* Where pods go. Called with a list: the root, the part's name. */}}
{{- define "tentacular.placement" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    labelSelector: { matchLabels: { app.kubernetes.io/name: {{ $name }} } }
  {{- end }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The Secret with the bearer token. */}}
{{- define "tentacular.authSecret" -}}
{{ .Values.auth.existingSecret | default "tentacular-mcp-auth" }}
{{- end }}

{{/* The Secret of a backing service; empty where the service is off. Called with a list: the root, the service's name. */}}
{{- define "tentacular.backingSecret" -}}
{{- $values := (index . 0).Values.exoskeleton -}}{{- $own := index $values (index . 1) -}}
{{- $address := $own.host | default $own.url | default $own.endpoint -}}
{{- if $values.enabled -}}
{{- if $own.existingSecret -}}{{ $own.existingSecret }}{{- else if $address -}}tentacular-{{ index . 1 }}{{- end -}}
{{- end -}}
{{- end }}

{{/* How the registrar finds the backing services. */}}
{{- define "tentacular.backingEnv" -}}
{{- $values := .Values.exoskeleton -}}
- name: TENTACULAR_EXOSKELETON_ENABLED
  value: {{ $values.enabled | quote }}
- name: TENTACULAR_EXOSKELETON_CLEANUP_ON_UNDEPLOY
  value: {{ $values.cleanupOnUndeploy | quote }}
- name: TENTACULAR_EXOSKELETON_MAX_CREDENTIAL_AGE
  value: {{ $values.maxCredentialAge | quote }}
- name: TENTACULAR_EXOSKELETON_SPIRE_ENABLED
  value: {{ $values.spire.enabled | quote }}
- name: TENTACULAR_SPIRE_CLASS_NAME
  value: {{ $values.spire.className | quote }}
{{- $paths := dict "postgres" "TENTACULAR_POSTGRES_ADMIN_PATH" "nats" "TENTACULAR_NATS_PATH" "rustfs" "TENTACULAR_RUSTFS_PATH" }}
{{- range $service, $variable := $paths }}
{{- if include "tentacular.backingSecret" (list $ $service) }}
{{- $own := index $values $service }}
{{- $prefix := printf "TENTACULAR_%s" (upper $service) }}
- name: {{ $variable }}
  value: /etc/tentacular-backing/{{ $service }}
- name: {{ $prefix }}_PODS
  value: {{ join "," $own.pods | quote }}
- name: {{ $prefix }}_NETWORKS
  value: {{ join "," $own.networks | quote }}
{{- if $own.caConfigMap }}
- name: {{ $prefix }}_CA_CERT_PATH
  value: /etc/tentacular-backing/{{ $service }}-ca/ca.crt
{{- end }}
{{- if $own.sslMode }}
- name: TENTACULAR_POSTGRES_SSLMODE
  value: {{ $own.sslMode }}
{{- end }}
{{- if $own.credentialDays }}
- name: TENTACULAR_NATS_CREDENTIAL_DAYS
  value: {{ $own.credentialDays | int | quote }}
{{- end }}
{{- with $own.jetstream }}
- name: TENTACULAR_NATS_JETSTREAM_DISK_MIB
  value: {{ .diskMib | int64 | quote }}
- name: TENTACULAR_NATS_JETSTREAM_MEMORY_MIB
  value: {{ .memoryMib | int64 | quote }}
- name: TENTACULAR_NATS_JETSTREAM_STREAMS
  value: {{ .streams | int64 | quote }}
- name: TENTACULAR_NATS_JETSTREAM_CONSUMERS
  value: {{ .consumers | int64 | quote }}
{{- end }}
{{- if $own.spiffeEnabled }}
- name: TENTACULAR_NATS_SPIFFE_ENABLED
  value: {{ $own.spiffeEnabled | quote }}
- name: TENTACULAR_NATS_AUTHZ_CONFIGMAP
  value: {{ $own.authzConfigMap | quote }}
- name: TENTACULAR_NATS_AUTHZ_NAMESPACE
  value: {{ $own.authzNamespace | quote }}
{{- end }}
{{- if $own.accounts }}
- name: TENTACULAR_RUSTFS_ACCOUNTS
  value: {{ $own.accounts }}
- name: TENTACULAR_RUSTFS_IAM_ENDPOINT
  value: {{ $own.iamEndpoint | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the registrar reads the backing services' Secrets and authorities. */}}
{{- define "tentacular.backingMounts" -}}
{{- range $service := list "postgres" "nats" "rustfs" }}
{{- if include "tentacular.backingSecret" (list $ $service) }}
- { name: {{ $service }}, mountPath: /etc/tentacular-backing/{{ $service }}, readOnly: true }
{{- if (index $.Values.exoskeleton $service).caConfigMap }}
- { name: {{ $service }}-ca, mountPath: /etc/tentacular-backing/{{ $service }}-ca, readOnly: true }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes of these. */}}
{{- define "tentacular.backingVolumes" -}}
{{- range $service := list "postgres" "nats" "rustfs" }}
{{- with include "tentacular.backingSecret" (list $ $service) }}
- name: {{ $service }}
  secret: { secretName: {{ . | quote }}, defaultMode: 288 }
{{- with (index $.Values.exoskeleton $service).caConfigMap }}
- name: {{ $service }}-ca
  configMap: { name: {{ . | quote }} }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Seconds before its end at which the webhook's certificate is worth an alert: a quarter of its life, and a week for one that
somebody else keeps. By then it should have been replaced. */}}
{{- define "tentacular.certificateAlert" -}}
{{- with .Values.webhook.certificate }}{{ ternary 604800 (div (int64 .lifeSeconds) 4) (ne .existingSecret "") }}{{ end }}
{{- end }}

{{/* A checksum of what the processes read only at their start and somebody else may change: an upgrade rolls the pods then. Files
of the other Secrets are read again as they change. */}}
{{- define "tentacular.readAtStart" -}}
{{- $found := list -}}
{{- with .Values.exoskeletonAuth -}}
{{- if .enabled -}}
{{- with .existingSecret }}{{ $found = append $found (lookup "v1" "Secret" $.Release.Namespace .).data }}{{ end -}}
{{- with .caConfigMap }}{{ $found = append $found (lookup "v1" "ConfigMap" $.Release.Namespace .).data }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $service := list "postgres" "nats" "rustfs" -}}
{{- if include "tentacular.backingSecret" (list $ $service) -}}
{{- with (index $.Values.exoskeleton $service).caConfigMap -}}
{{- $found = append $found (lookup "v1" "ConfigMap" $.Release.Namespace .).data -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $found }}{{ . | toJson | sha256sum }}{{ end -}}
{{- end }}

{{/* CEL, for admission: one of the server's accounts writes. */}}
{{- define "tentacular.byTheServer" -}}
request.userInfo.username.startsWith('system:serviceaccount:{{ .Release.Namespace }}:tentacular-')
{{- end }}

{{/* CEL, for admission: it is not Kubernetes itself that writes, which is its controllers, its nodes and the API server. */}}
{{- define "tentacular.notByKubernetes" -}}
!(request.userInfo.username in ['system:kube-controller-manager', 'system:apiserver']) && !request.userInfo.groups.exists(group, group in ['system:nodes', 'system:serviceaccounts:kube-system'])
{{- end }}
