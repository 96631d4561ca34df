CREATE TABLE "test_world" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"environment" text COLLATE "C" DEFAULT postern.scope_environment() NOT NULL,
	"tenant" text COLLATE "C" DEFAULT postern.scope_tenant() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"collection" text COLLATE "C" NOT NULL,
	"thing" text COLLATE "C",
	"data" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "test_world_platform_environment_tenant_id_pk" PRIMARY KEY("platform","environment","tenant","id"),
	CONSTRAINT "environment" CHECK ("test_world"."environment" in ('test', 'live'))
);
--> statement-breakpoint
ALTER TABLE "test_world" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "test_world_collection" ON "test_world" USING btree ("platform","environment","tenant","collection","created_at","id");--> statement-breakpoint
CREATE POLICY "tenant_scope" ON "test_world" AS PERMISSIVE FOR ALL TO "postern_tenant" USING ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant())) WITH CHECK ((platform, environment, tenant) = (select postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()));