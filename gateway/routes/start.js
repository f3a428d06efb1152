SwaggerUIBundle({
  url: "/docs/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  // No badge of an outside validator: nothing leaves this machine.
  validatorUrl: null,
});
