CREATE TABLE "example_resources" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"kind" text COLLATE "C" NOT NULL,
	"data" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "example_resources_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("example_resources"."environment" in ('test', 'live'))
);
--> statement-breakpoint
ALTER TABLE "example_resources" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "example_resources_kind" ON "example_resources" USING btree ("platform","environment","tenant","kind","created_at","id");--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "example_resources" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));