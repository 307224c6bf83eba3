{{- define "jumpcloud.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- /* At most 52 characters: Kubernetes adds a hash to it in a label of 63. */ -}}
{{- define "jumpcloud.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if or (contains (include "jumpcloud.name" .) .Release.Name) (hasPrefix .Release.Name (include "jumpcloud.name" .)) -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "jumpcloud.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "jumpcloud.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jumpcloud.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "jumpcloud.labels" -}}
{{ include "jumpcloud.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "jumpcloud.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "jumpcloud.serviceAccountName" -}}
{{- default (include "jumpcloud.fullname" .) .Values.serviceAccount.existingName -}}
{{- end -}}

{{- define "jumpcloud.makesCredentials" -}}
{{- if or .Values.credentials.apiKey .Values.credentials.clientId .Values.credentials.clientSecret -}}true{{- end -}}
{{- end -}}

{{- define "jumpcloud.credentialsSecret" -}}
{{- if .Values.credentials.existingSecret -}}
{{- .Values.credentials.existingSecret -}}
{{- else if include "jumpcloud.makesCredentials" . -}}
{{- printf "%s-credentials" (include "jumpcloud.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "jumpcloud.organizationsSecret" -}}
{{- default (printf "%s-organizations" (include "jumpcloud.fullname" .)) .Values.organizations.existingSecret -}}
{{- end -}}

{{- define "jumpcloud.organizationsFile" -}}
{{- ternary .Values.organizations.key "organizations.json" (ne .Values.organizations.existingSecret "") -}}
{{- end -}}

{{- /* A folder of its own, which the process makes for itself alone: the volume's is the group's. */ -}}
{{- define "jumpcloud.dataDir" -}}
{{- with .Values.state.s3 -}}
{{- if .bucket -}}
{{- printf "s3://%s/%s" .bucket .folder | trimSuffix "/" -}}
{{- else -}}
/app/data/state
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* module.json: no secret stands in it, only the variables that hold them. */ -}}
{{- define "jumpcloud.moduleJson" -}}
{{- $shared := dict "apikey" "${JUMPCLOUD_API_KEY:-}" "client_id" "${JUMPCLOUD_CLIENT_ID:-}" "client_secret" "${JUMPCLOUD_CLIENT_SECRET:-}" -}}
{{- dict "module" (merge $shared .Values.module) "connector" .Values.connector "organizations" (include "jumpcloud.organizationsFile" .) | toPrettyJson -}}
{{- end -}}

{{- /* What the schema cannot tell, since it depends on several values. */ -}}
{{- define "jumpcloud.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.state.s3.bucket) -}}
{{- fail (printf "\n\nreplicas is %d, but the state is on a volume, which only one pod can use: name a bucket in state.s3.bucket, or set replicas to 1." (int .Values.replicas)) -}}
{{- end -}}
{{- if and .Values.organizations.list .Values.organizations.existingSecret -}}
{{- fail "\n\norganizations.list and organizations.existingSecret are both given: remove one of them." -}}
{{- end -}}
{{- if not (or .Values.organizations.list .Values.organizations.existingSecret) -}}
{{- fail "\n\nNo organization is given: name the Secret that holds the list in organizations.existingSecret, or give organizations.list." -}}
{{- end -}}
{{- if and .Values.credentials.existingSecret (include "jumpcloud.makesCredentials" .) -}}
{{- fail "\n\ncredentials.existingSecret and keys are both given in credentials: remove one of them." -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.organizations.list -}}
{{- if has .name $names -}}
{{- fail (printf "\n\nTwo organizations are named %s: each name is that of a folder of its own." .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
